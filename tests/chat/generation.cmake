qwen3vl_test(test_sampler test_sampler.cpp)
qwen3vl_test(test_chat test_chat.cpp)
qwen3vl_test(test_saved_chat test_saved_chat.cpp)
qwen3vl_test(test_chat_pool test_chat_pool.cpp)
