qwen3vl_test(test_safetensors test_safetensors.cpp)
qwen3vl_test(test_checkpoint test_checkpoint.cpp)
qwen3vl_test(test_hf_config test_hf_config.cpp)

# The two programs together: what make_synthetic writes is the model it was asked for, to inspect's eyes.
if(TARGET make_synthetic AND TARGET qwen3vl_cli)
  foreach(model Tiny Plain)
    set(folder ${CMAKE_CURRENT_BINARY_DIR}/synthetic_${model})
    add_test(NAME synthetic_${model} COMMAND sh -c "rm -rf '${folder}' && \
'$<TARGET_FILE:make_synthetic>' ${model} '${folder}' --seed 7 --dtype f16 --shard-size 0.001 && \
'$<TARGET_FILE:qwen3vl_cli>' inspect '${folder}' | grep 'that of ${model}, and every tensor it needs is there'")
  endforeach()
endif()
