#pragma once

namespace zoo::gpu::host {

/// How many races ThreadSanitizer has reported while no kernel ran; those in kernels are thrown as KernelFault.
int races_outside_kernels();

}  // namespace zoo::gpu::host
