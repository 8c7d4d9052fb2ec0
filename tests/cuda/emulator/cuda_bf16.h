// Stands in for CUDA's header of this name; cuda_on_cpu.hpp has it all.
#pragma once
