#include "zoo/bench/layer_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "zoo/report/format.h"
#include "zoo/report/gnuplot.h"
#include "zoo/report/html_parts.h"

namespace zoo {

namespace {

double tokens(const LayerReport& report, const LayerSpeed& speed) {
  return static_cast<double>(report.benchmark.batch_size * speed.seq_len);
}

double share(const LayerReport& report, const LayerSpeed& speed) {
  return speed.step_flops / speed.step.median / report.sgemm_flops;
}

double peak_multiple(const LayerSpeed& speed) {
  return static_cast<double>(speed.peak_bytes) / static_cast<double>(speed.input_bytes);
}

nlohmann::json seconds(const Timing& timing) {
  return {{"min", timing.least}, {"median", timing.median}};
}

/// A column of a plot's panel: a figure of a layer at a length.
using Figure = std::function<double(const LayerSpeed&)>;

// The decades around the values.
void fit_decades(report::Panel& panel) {
  double low = INFINITY, high = 0;
  for (const report::Series& series : panel.series) {
    for (const report::Point& point : series.points) low = std::min(low, point.y), high = std::max(high, point.y);
  }
  panel.y_minimum = std::pow(10, std::floor(std::log10(low)));
  panel.y_maximum = std::pow(10, std::ceil(std::log10(high * 1.01)));
}

report::Panel panel_of(const LayerReport& report, std::string y_label, const Figure& figure) {
  report::Panel panel{.title = "",
                      .x_label = "sequence length T",
                      .y_label = std::move(y_label),
                      .x_ticks = {},
                      .log2_x = true,
                      .log10_y = true,
                      .series = {}};
  for (const std::int64_t length : report.benchmark.seq_len) {
    panel.x_ticks.push_back({static_cast<double>(length), std::to_string(length)});
  }
  for (std::size_t i = 0; i < report.layers.size(); ++i) {
    report::Series series{.label = report.layers[i].name, .style = i, .points = {}};
    for (const LayerSpeed& speed : report.layers[i].speeds) {
      const double y = figure(speed);
      if (y > 0) series.points.push_back({static_cast<double>(speed.seq_len), y, y, y});
    }
    std::ranges::sort(series.points, {}, &report::Point::x);
    if (!series.points.empty()) panel.series.push_back(std::move(series));
  }
  fit_decades(panel);
  return panel;
}

report::Panel decode_panel(const LayerReport& report) {
  report::Panel panel{.title = "",
                      .x_label = "position",
                      .y_label = "microseconds to decode a token",
                      .x_ticks = {},
                      .log2_x = true,
                      .log10_y = true,
                      .series = {}};
  for (std::size_t i = 0; i < report.layers.size(); ++i) {
    report::Series series{.label = report.layers[i].name, .style = i, .points = {}};
    for (const DecodeSpeed& speed : report.layers[i].decoding) {
      const double x = static_cast<double>(std::max<std::int64_t>(speed.position, 1));
      const double y = 1e6 * speed.token.median;
      series.points.push_back({x, y, y, y});
      const auto same = [&](const report::Tick& tick) { return tick.at == x; };
      if (std::ranges::none_of(panel.x_ticks, same)) panel.x_ticks.push_back({x, std::to_string(speed.position)});
    }
    if (!series.points.empty()) panel.series.push_back(std::move(series));
  }
  fit_decades(panel);
  return panel;
}

std::string legend(const LayerReport& report) {
  std::string items;
  for (std::size_t i = 0; i < report.layers.size(); ++i) {
    items += "<li>" + report::legend_mark(i) + report::escape_html(report.layers[i].name) + "</li>\n";
  }
  return "<ul class=\"legend\">\n" + items + "</ul>\n";
}

std::string facts(const LayerReport& report) {
  const LayerBenchmark& benchmark = report.benchmark;
  const std::string precision = benchmark.precision == Precision::float32
                                    ? ""
                                    : fmt::format(", products in {}", precision_name(benchmark.precision));
  return fmt::format("d_model {}, batch {}{}; {} threads, {}; large matrix products reach {:.1f} GFLOP/s",
                     benchmark.d_model, benchmark.batch_size, precision, report.environment.value("threads", 1),
                     report.environment.value("instruction_set", ""), 1e-9 * report.sgemm_flops);
}

}  // namespace

nlohmann::json as_json(const LayerReport& report) {
  nlohmann::json layers = nlohmann::json::array();
  for (const LayerFigures& layer : report.layers) {
    nlohmann::json lengths = nlohmann::json::array();
    for (const LayerSpeed& speed : layer.speeds) {
      lengths.push_back({{"seq_len", speed.seq_len},
                         {"forward_seconds", seconds(speed.forward)},
                         {"forward_backward_seconds", seconds(speed.step)},
                         {"prefill_seconds", seconds(speed.prefill)},
                         {"forward_flops", speed.forward_flops},
                         {"forward_backward_flops", speed.step_flops},
                         {"gflops", 1e-9 * speed.step_flops / speed.step.median},
                         {"sgemm_share", share(report, speed)},
                         {"seconds_per_token", speed.step.median / tokens(report, speed)},
                         {"input_bytes", speed.input_bytes},
                         {"peak_bytes", speed.peak_bytes},
                         {"peak_over_input", peak_multiple(speed)},
                         {"state_bytes", speed.state_bytes}});
    }
    nlohmann::json decoding = nlohmann::json::array();
    for (const DecodeSpeed& speed : layer.decoding) {
      decoding.push_back({{"position", speed.position},
                          {"token_seconds", seconds(speed.token)},
                          {"state_bytes", speed.state_bytes},
                          {"system_allocations", speed.system_allocations}});
    }
    layers.push_back({{"name", layer.name},
                      {"options", layer.options},
                      {"parameters", layer.parameters},
                      {"lengths", std::move(lengths)},
                      {"decoding", std::move(decoding)}});
  }
  return {{"d_model", report.benchmark.d_model},
          {"batch_size", report.benchmark.batch_size},
          {"precision", precision_name(report.benchmark.precision)},
          {"sgemm_gflops", 1e-9 * report.sgemm_flops},
          {"layers", std::move(layers)},
          {"environment", report.environment}};
}

std::string as_text(const LayerReport& report) {
  std::size_t width = 5;
  for (const LayerFigures& layer : report.layers) width = std::max(width, layer.name.size());
  std::string text = facts(report) + "\n\n" +
                     fmt::format("{:<{}} {:>7} {:>11} {:>11} {:>9} {:>10} {:>9} {:>6} {:>11} {:>10} {:>7} {:>10}\n",
                                 "layer", width, "T", "forward ms", "+backward", "us/token", "GFLOP", "GFLOP/s",
                                 "share", "prefill ms", "peak", "/input", "state");
  for (const LayerFigures& layer : report.layers) {
    for (const LayerSpeed& speed : layer.speeds) {
      text += fmt::format(
          "{:<{}} {:>7} {:>11.3f} {:>11.3f} {:>9.3f} {:>10.4g} {:>9.1f} {:>6.2f} {:>11.3f} {:>10} {:>7.1f} {:>10}\n",
          layer.name, width, speed.seq_len, 1e3 * speed.forward.median, 1e3 * speed.step.median,
          1e6 * speed.step.median / tokens(report, speed), 1e-9 * speed.step_flops,
          1e-9 * speed.step_flops / speed.step.median, share(report, speed), 1e3 * speed.prefill.median,
          report::format_bytes(static_cast<double>(speed.peak_bytes)), peak_multiple(speed),
          report::format_bytes(static_cast<double>(speed.state_bytes)));
    }
  }
  text += fmt::format("\n{:<{}} {:>9} {:>9} {:>10} {:>12}\n", "decoding", width, "position", "us/token", "state",
                      "allocations");
  for (const LayerFigures& layer : report.layers) {
    for (const DecodeSpeed& speed : layer.decoding) {
      text += fmt::format("{:<{}} {:>9} {:>9.2f} {:>10} {:>12}\n", layer.name, width, speed.position,
                          1e6 * speed.token.median, report::format_bytes(static_cast<double>(speed.state_bytes)),
                          speed.system_allocations);
    }
  }
  return text;
}

std::string as_html(const LayerReport& report) {
  const std::vector<report::Panel> panels = {
      panel_of(report, "microseconds per token, forward + backward",
               [&](const LayerSpeed& speed) { return 1e6 * speed.step.median / tokens(report, speed); }),
      panel_of(
          report, "microseconds per token, prefill",
          [&](const LayerSpeed& speed) { return 1e6 * speed.prefill.median / static_cast<double>(speed.seq_len); }),
      decode_panel(report),
      panel_of(report, "peak memory / input", peak_multiple),
      panel_of(report, "share of the large-product rate",
               [&](const LayerSpeed& speed) { return share(report, speed); }),
  };
  std::string drawn;
  for (std::size_t i = 0; i < panels.size(); ++i) {
    if (!panels[i].series.empty()) drawn += report::draw_panel(panels[i], fmt::format("plot{}", i));
  }
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>zoo: speed of layers</title>\n"
      "<style>{}</style>\n</head>\n<body>\n<main>\n<h1>Speed of layers</h1>\n<p class=\"facts\">{}</p>\n<figure>\n{}"
      "<div class=\"panels\">\n{}</div>\n</figure>\n<pre tabindex=\"0\"><code>{}</code></pre>\n"
      "<p>Medians of wall times. FLOPs count the products that the definition needs (causal half, no recomputation), "
      "elementwise work not at all; the share is theirs of what large products reach in the same run. Peak memory is "
      "what forward and backward take beyond input, output gradient and parameters. Decoding is one sequence, a token "
      "at "
      "a time.</p>\n<pre tabindex=\"0\"><code>{}</code></pre>\n</main>\n</body>\n</html>\n",
      report::page_style, report::escape_html(facts(report)), legend(report), drawn,
      [&] {
        // Line by line: what is escaped is one line.
        std::string escaped;
        const std::string text = as_text(report);
        for (std::size_t begin = 0; begin < text.size();) {
          const std::size_t end = text.find('\n', begin);
          escaped += report::escape_html(std::string_view(text).substr(begin, end - begin)) + "\n";
          begin = end + 1;
        }
        return escaped;
      }(),
      report::escape_html(report.environment.value("command", "")));
}

}  // namespace zoo
