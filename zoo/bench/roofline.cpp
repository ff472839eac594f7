#include "zoo/bench/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "zoo/report/text_table.h"

namespace zoo {

namespace {

OpWork work_of(const Profile::Entry& op, std::size_t device) {
  return {.flops = op.flops, .bytes = op.bytes, .shared_bytes = op.shared_bytes[device]};
}

double longest_seconds(const Profile::Entry& op) {
  return roofline(work_of(op, 0), known_devices().front()).float32_seconds;
}

std::string name_in_short(const DeviceLimits& device) {
  return device.name.substr(0, device.name.find(' '));
}

std::vector<std::string> row_of(std::string name, const Profile::Entry& op, std::span<const Roofline> devices,
                                bool shared_traffic) {
  std::vector<std::string> row = {std::move(name),
                                  op.pass,
                                  std::to_string(op.calls),
                                  fmt::format("{:.4g}", 1e-9 * op.flops),
                                  fmt::format("{:.4g}", 1e-6 * op.bytes),
                                  op.bytes > 0 ? fmt::format("{:.3g}", op.flops / op.bytes) : "–"};
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (shared_traffic) {
      const bool some = op.shared_bytes[i] > 0;
      row.push_back(some ? fmt::format("{:.4g}", 1e-6 * op.shared_bytes[i]) : "–");
      row.push_back(some ? fmt::format("{:.4g}", 1e6 * devices[i].shared_seconds) : "–");
    }
    row.push_back(fmt::format("{:.4g}", 1e6 * devices[i].float32_seconds));
    row.push_back(fmt::format("{:.4g}", 1e6 * devices[i].tf32_seconds));
  }
  return row;
}

std::string table_of(const LayerRoofline& layer) {
  std::vector<std::string> head = {"op", "pass", "calls", "GFLOP", "MB", "FLOP/byte"};
  for (const DeviceLimits& device : known_devices()) {
    const std::string brief = name_in_short(device);
    if (layer.shared_traffic) {
      head.push_back(brief + " shared MB");
      head.push_back("us of it");
    }
    head.push_back(brief + " us");
    head.push_back(brief + " TF32");
  }
  std::vector<std::vector<std::string>> cells = {head};
  Profile::Entry sum{.name = {}, .pass = {}};
  std::vector<Roofline> sums(known_devices().size());
  for (const Profile::Entry& op : layer.ops) {
    std::vector<Roofline> devices;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      devices.push_back(roofline(work_of(op, i), known_devices()[i]));
      sums[i].float32_seconds += devices[i].float32_seconds;
      sums[i].tf32_seconds += devices[i].tf32_seconds;
      sums[i].shared_seconds += devices[i].shared_seconds;
      sum.shared_bytes[i] += op.shared_bytes[i];
    }
    cells.push_back(row_of(op.name, op, devices, layer.shared_traffic));
    sum.calls += op.calls, sum.flops += op.flops, sum.bytes += op.bytes;
  }
  cells.push_back(row_of("sum", sum, sums, layer.shared_traffic));
  return report::text_table(cells, 2);
}

// Of a device's multiprocessors together.
constexpr double shared_rate(double multiprocessors, double clock) {
  constexpr double bytes_a_cycle = 32 * 4;
  return multiprocessors * bytes_a_cycle * clock;
}

}  // namespace

std::span<const DeviceLimits> known_devices() {
  static const std::array<DeviceLimits, modelled_gpus> devices = {{
      {.name = "H100 SXM5 80 GB",
       .float32_flops = 66.9e12,
       .tf32_flops = 494.7e12,
       .memory_bytes = 3.35e12,
       .shared_bytes = shared_rate(132, 1.98e9)},
      {.name = "A100 SXM4 80 GB",
       .float32_flops = 19.5e12,
       .tf32_flops = 156e12,
       .memory_bytes = 2.039e12,
       .shared_bytes = shared_rate(108, 1.41e9)},
  }};
  return devices;
}

std::string_view bound_name(Bound bound) {
  return bound == Bound::arithmetic ? "arithmetic" : bound == Bound::memory ? "memory" : "shared memory";
}

Roofline roofline(const OpWork& work, const DeviceLimits& device) {
  const double memory = work.bytes / device.memory_bytes, shared = work.shared_bytes / device.shared_bytes;
  const double arithmetic = work.flops / device.float32_flops;
  Roofline least = {.float32_seconds = std::max({arithmetic, memory, shared}),
                    .tf32_seconds = std::max({work.flops / device.tf32_flops, memory, shared}),
                    .shared_seconds = shared};
  if (memory >= arithmetic) least.binds = Bound::memory;
  if (shared > std::max(memory, arithmetic)) least.binds = Bound::shared_memory;
  return least;
}

LayerRoofline make_roofline(const std::string& layer, std::int64_t seq_len, std::vector<Profile::Entry> ops,
                            bool shared_traffic) {
  std::erase_if(ops, [](const Profile::Entry& op) { return op.flops == 0 && op.bytes == 0; });
  std::ranges::stable_sort(ops, std::greater{}, longest_seconds);
  return {.layer = layer, .seq_len = seq_len, .ops = std::move(ops), .shared_traffic = shared_traffic};
}

nlohmann::json as_json(std::span<const LayerRoofline> layers) {
  nlohmann::json devices = nlohmann::json::array();
  for (const DeviceLimits& device : known_devices()) {
    devices.push_back({{"name", device.name},
                       {"float32_flops_per_second", device.float32_flops},
                       {"tf32_flops_per_second", device.tf32_flops},
                       {"memory_bytes_per_second", device.memory_bytes},
                       {"shared_bytes_per_second", device.shared_bytes}});
  }
  nlohmann::json all = nlohmann::json::array();
  for (const LayerRoofline& layer : layers) {
    nlohmann::json ops = nlohmann::json::array();
    for (const Profile::Entry& op : layer.ops) {
      nlohmann::json limits = nlohmann::json::array();
      for (std::size_t i = 0; i < modelled_gpus; ++i) {
        const Roofline least = roofline(work_of(op, i), known_devices()[i]);
        limits.push_back({{"device", known_devices()[i].name},
                          {"float32_seconds", least.float32_seconds},
                          {"tf32_seconds", least.tf32_seconds},
                          {"binds", bound_name(least.binds)}});
        if (!layer.shared_traffic) continue;
        limits.back()["shared_bytes"] = op.shared_bytes[i];
        limits.back()["shared_seconds"] = least.shared_seconds;
      }
      ops.push_back({{"name", op.name},
                     {"pass", op.pass},
                     {"calls", op.calls},
                     {"flops", op.flops},
                     {"bytes", op.bytes},
                     {"least", std::move(limits)}});
    }
    all.push_back({{"name", layer.layer}, {"seq_len", layer.seq_len}, {"ops", std::move(ops)}});
  }
  return {{"calculated", true}, {"devices", std::move(devices)}, {"layers", std::move(all)}};
}

std::string as_text(std::span<const LayerRoofline> layers) {
  std::string text = "Calculated, not measured: what each op takes at least at the limits of\n";
  for (const DeviceLimits& device : known_devices()) {
    text += fmt::format(
        "  {}: {:.4g} TFLOP/s in float32, {:.4g} in TF32, {:.4g} TB/s of memory, {:.4g} TB/s of shared memory\n",
        device.name, 1e-12 * device.float32_flops, 1e-12 * device.tf32_flops, 1e-12 * device.memory_bytes,
        1e-12 * device.shared_bytes);
  }
  text +=
      "FLOPs are those of products, 2mnk; MB are what a kernel is given and what it makes, once each. A backward pass\n"
      "that is made of other ops stands under those. ";
  const bool shared = std::ranges::any_of(layers, &LayerRoofline::shared_traffic);
  text += shared
              ? "Shared MB are what zoo's kernels move through shared memory as\n"
                "they are launched on either device, where that is modelled, and the microseconds behind them what it\n"
                "takes by itself.\n"
              : "Shared memory is modelled with --device gpu.\n";
  for (const LayerRoofline& layer : layers) {
    text += fmt::format("\n{}, T {}, forward and backward\n{}", layer.layer, layer.seq_len, table_of(layer));
  }
  return text;
}

}  // namespace zoo
