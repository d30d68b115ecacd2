qwen3vl_test(test_sampler test_sampler.cpp)
qwen3vl_test(test_chat test_chat.cpp test_saved_chat.cpp test_chat_pool.cpp test_constrained_chat.cpp)
