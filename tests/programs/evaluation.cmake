# What models compute, measured by the programs that users measure with. Sanitized builds leave it out: each bundle
# takes minutes to compile there, and the library's own tests see the same code.
add_dependencies(tests golden_check shapes_eval format_quality calibrate low_rank)
foreach(form tiny tall plain)
  foreach(chunk 0 1 7)
    add_test(NAME golden_check.${form}.${chunk} COMMAND golden_check ${data}/${form} ${data}/${form}_cases
             --chunk ${chunk})
  endforeach()
endforeach()
add_test(NAME shapes_eval COMMAND shapes_eval --model ${shapes} ${data}/shapes_eval --bundle float32 --min-agreement 99)
set_tests_properties(shapes_eval PROPERTIES TIMEOUT 600)
# Measured over these questions: int8 1e-4, int4 3.0e-3 and nf4 3.4e-3 rounded to nearest, 1.6e-3 and 1.0e-3 calibrated
# on other questions.
function(quality name)
  add_test(NAME format_quality.${name} COMMAND format_quality --model ${shapes} ${data}/shapes_eval --skip 60
           --limit 120 ${ARGN})
endfunction()
add_test(NAME shapes_eval.bf16 COMMAND shapes_eval --model ${shapes} ${data}/shapes_eval --bundle bf16
         --min-agreement 98 --limit 200)
set_tests_properties(shapes_eval.bf16 PROPERTIES TIMEOUT 600)
quality(exact --bundle dense bf16 --max-kl 2e-5 --min-top1 99.5)
quality(int8 --bundle int8 --max-kl 2e-4 --min-top1 99)
quality(4_bits --bundle int4 nf4 --max-kl 6e-3 --min-top1 97)
set(calibration ${CMAKE_CURRENT_BINARY_DIR}/calibration.safetensors)
add_test(NAME calibrate COMMAND calibrate --model ${shapes} ${data}/shapes_eval --limit 60 --out ${calibration})
quality(calibrated --bundle int4 --calibration ${calibration} --max-kl 2.2e-3 --min-top1 97.5)
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/text.txt
     "From left to right: a blue star, an orange triangle and a black circle. "
     "A blue heart moves right and an orange heart stays.\n")
add_test(NAME calibrate.text COMMAND calibrate --model ${shapes} --text ${CMAKE_CURRENT_BINARY_DIR}/text.txt --window 16
         --out ${CMAKE_CURRENT_BINARY_DIR}/calibration_text.safetensors)
add_test(NAME format_quality.text COMMAND format_quality --model ${shapes} --text ${CMAKE_CURRENT_BINARY_DIR}/text.txt
         --window 16 --bundle int8 --max-kl 2e-3)
add_test(NAME format_quality.needles COMMAND format_quality --model ${shapes}
         --text ${CMAKE_CURRENT_BINARY_DIR}/text.txt --window 160 --needles 3 --bundle int8 --max-kl 0.1)
add_test(NAME format_quality.no_room COMMAND format_quality --model ${shapes}
         --text ${CMAKE_CURRENT_BINARY_DIR}/text.txt --window 16 --needles 3 --bundle int8)
set_tests_properties(format_quality.no_room PROPERTIES PASS_REGULAR_EXPRESSION
                     "format_quality: --window 16: a question for a number does not fit; use 100 and more")
add_test(NAME low_rank COMMAND low_rank --model ${shapes} ${data}/shapes_eval --limit 20
         --out ${CMAKE_CURRENT_BINARY_DIR}/low_rank.safetensors)
set_tests_properties(low_rank PROPERTIES PASS_REGULAR_EXPRESSION "12 matrices from.* 32 +1\\.0000 +1\\.0000")
set_tests_properties(calibrate PROPERTIES FIXTURES_SETUP calibration)
set_tests_properties(format_quality.calibrated PROPERTIES FIXTURES_REQUIRED calibration)
add_test(NAME format_quality.hostile COMMAND format_quality --model ${shapes} ${data}/shapes_eval --limit 1
         --bundle int4 --calibration ${shapes}/model.safetensors)
set_tests_properties(format_quality.hostile PROPERTIES PASS_REGULAR_EXPRESSION
                     "format_quality: .*model.safetensors: tensor 'model.visual.patch_embed.proj.weight': expected F32")
