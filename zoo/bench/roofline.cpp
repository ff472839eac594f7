#include "zoo/bench/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "zoo/report/text_table.h"

namespace zoo {

namespace {

double longest_seconds(const Profile::Entry& op) {
  return roofline(op.flops, op.bytes, known_devices().front()).float32_seconds;
}

std::vector<std::string> row_of(std::string name, const Profile::Entry& op, std::span<const Roofline> devices) {
  std::vector<std::string> row = {std::move(name),
                                  op.pass,
                                  std::to_string(op.calls),
                                  fmt::format("{:.4g}", 1e-9 * op.flops),
                                  fmt::format("{:.4g}", 1e-6 * op.bytes),
                                  op.bytes > 0 ? fmt::format("{:.3g}", op.flops / op.bytes) : "–"};
  for (const Roofline& device : devices) {
    row.push_back(fmt::format("{:.4g}", 1e6 * device.float32_seconds));
    row.push_back(fmt::format("{:.4g}", 1e6 * device.tf32_seconds));
  }
  return row;
}

std::string table_of(const LayerRoofline& layer) {
  std::vector<std::string> head = {"op", "pass", "calls", "GFLOP", "MB", "FLOP/byte"};
  for (const DeviceLimits& device : known_devices()) {
    const std::string brief = device.name.substr(0, device.name.find(' '));
    head.push_back(brief + " us");
    head.push_back(brief + " TF32");
  }
  std::vector<std::vector<std::string>> cells = {head};
  Profile::Entry sum{.name = {}, .pass = {}};
  std::vector<Roofline> sums(known_devices().size());
  for (const Profile::Entry& op : layer.ops) {
    std::vector<Roofline> devices;
    for (std::size_t i = 0; i < sums.size(); ++i) {
      devices.push_back(roofline(op.flops, op.bytes, known_devices()[i]));
      sums[i].float32_seconds += devices[i].float32_seconds;
      sums[i].tf32_seconds += devices[i].tf32_seconds;
    }
    cells.push_back(row_of(op.name, op, devices));
    sum.calls += op.calls, sum.flops += op.flops, sum.bytes += op.bytes;
  }
  cells.push_back(row_of("sum", sum, sums));
  return report::text_table(cells, 2);
}

}  // namespace

std::span<const DeviceLimits> known_devices() {
  static const std::array<DeviceLimits, 2> devices = {{
      {.name = "H100 SXM5 80 GB", .float32_flops = 66.9e12, .tf32_flops = 494.7e12, .memory_bytes = 3.35e12},
      {.name = "A100 SXM4 80 GB", .float32_flops = 19.5e12, .tf32_flops = 156e12, .memory_bytes = 2.039e12},
  }};
  return devices;
}

Roofline roofline(double flops, double bytes, const DeviceLimits& device) {
  const double memory = bytes / device.memory_bytes;
  return {.float32_seconds = std::max(flops / device.float32_flops, memory),
          .tf32_seconds = std::max(flops / device.tf32_flops, memory),
          .memory_binds = memory >= flops / device.float32_flops};
}

LayerRoofline make_roofline(const std::string& layer, std::int64_t seq_len, std::vector<Profile::Entry> ops) {
  std::erase_if(ops, [](const Profile::Entry& op) { return op.flops == 0 && op.bytes == 0; });
  std::ranges::stable_sort(ops, std::greater{}, longest_seconds);
  return {.layer = layer, .seq_len = seq_len, .ops = std::move(ops)};
}

nlohmann::json as_json(std::span<const LayerRoofline> layers) {
  nlohmann::json devices = nlohmann::json::array();
  for (const DeviceLimits& device : known_devices()) {
    devices.push_back({{"name", device.name},
                       {"float32_flops_per_second", device.float32_flops},
                       {"tf32_flops_per_second", device.tf32_flops},
                       {"memory_bytes_per_second", device.memory_bytes}});
  }
  nlohmann::json all = nlohmann::json::array();
  for (const LayerRoofline& layer : layers) {
    nlohmann::json ops = nlohmann::json::array();
    for (const Profile::Entry& op : layer.ops) {
      nlohmann::json limits = nlohmann::json::array();
      for (const DeviceLimits& device : known_devices()) {
        const Roofline least = roofline(op.flops, op.bytes, device);
        limits.push_back({{"device", device.name},
                          {"float32_seconds", least.float32_seconds},
                          {"tf32_seconds", least.tf32_seconds},
                          {"binds", least.memory_binds ? "memory" : "arithmetic"}});
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
    text += fmt::format("  {}: {:.4g} TFLOP/s in float32, {:.4g} in TF32, {:.4g} TB/s\n", device.name,
                        1e-12 * device.float32_flops, 1e-12 * device.tf32_flops, 1e-12 * device.memory_bytes);
  }
  text +=
      "FLOPs are those of products, 2mnk; MB are what a kernel is given and what it makes, once each. A backward pass\n"
      "that is made of other ops stands under those. Shared memory is not modelled.\n";
  for (const LayerRoofline& layer : layers) {
    text += fmt::format("\n{}, T {}, forward and backward\n{}", layer.layer, layer.seq_len, table_of(layer));
  }
  return text;
}

}  // namespace zoo
