#pragma once

namespace zoo::gpu::host {

/// Makes a segmentation fault of this thread, before the process ends by it, say what it was where the executor knows:
/// a kernel's stack overflow, host code that followed a device pointer, or a kernel that left device memory. Other
/// faults go to the handler that was there before.
void watch_segmentation_faults();

}  // namespace zoo::gpu::host
