qwen3vl_test(gguf_repack test_gguf_repack.cpp)
qwen3vl_test(test_gguf test_gguf.cpp test_gguf_checkpoint.cpp test_gguf_split.cpp test_gguf_tokenizer.cpp)

# The programs on the Shapes model as GGUF: the same answers as from safetensors.
if(TARGET shapes_eval AND TARGET qwen3vl_cli)
  set(gguf ${PROJECT_SOURCE_DIR}/tests/data/gguf)
  set(says ${PROJECT_SOURCE_DIR}/tests/programs/says.cmake)
  set(pictures ${PROJECT_SOURCE_DIR}/examples/pictures)
  if(NOT QWEN3VL_SANITIZE)
    add_test(NAME shapes_eval.gguf COMMAND shapes_eval --model ${gguf}/shapes/shapes-bf16.gguf
             ${PROJECT_SOURCE_DIR}/tests/data/shapes_eval --bundle float32 --min-agreement 100 --limit 150)
    set_tests_properties(shapes_eval.gguf PROPERTIES TIMEOUT 600)
  endif()
  # gguf_says(NAME CODE PATTERN arguments...): `qwen3vl arguments...` ends with CODE and prints PATTERN.
  function(gguf_says name code pattern)
    add_test(NAME cli.gguf_${name} COMMAND ${CMAKE_COMMAND} -DCODE=${code} "-DPATTERN=${pattern}"
             "-DCOMMAND=$<TARGET_FILE:qwen3vl_cli>;${ARGN}" -P ${says})
    set_tests_properties(cli.gguf_${name} PROPERTIES TIMEOUT 60)
  endfunction()
  gguf_says(describe 0 "From left to right: a blue star, an orange triangle and a black circle\\." describe
            ${pictures}/shapes.png --model ${gguf}/shapes/shapes-bf16.gguf)
  gguf_says(mmproj 0 "a blue star" describe ${pictures}/shapes.png --model ${gguf}/shapes/shapes-bf16.gguf
            --mmproj ${gguf}/shapes/mmproj-shapes-bf16.gguf)
  gguf_says(inspect 0 "that of Shapes, and every tensor it needs is there" inspect ${gguf}/shapes/shapes-bf16.gguf)
  gguf_says(plan 0 "kv_cache" plan ${gguf}/shapes/shapes-bf16.gguf --context 1024)
  gguf_says(tokenize 0 "267" tokenize assistant --model ${gguf}/shapes/shapes-bf16.gguf)
  gguf_says(preprocess 0 "pixel_values \\[80, 1536\\]" preprocess ${pictures}/shapes.png
            -o ${CMAKE_CURRENT_BINARY_DIR}/shapes.safetensors --model ${gguf}/shapes/shapes-bf16.gguf)
  gguf_says(other_dims 2 "general.architecture" describe ${pictures}/shapes.png --model ${gguf}/q8_0.gguf)
endif()
