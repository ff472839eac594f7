#include "zoo/lm/comparison_figures.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "zoo/report/format.h"
#include "zoo/sweep/units.h"

namespace zoo {

namespace {

using report::Figure;
using report::Panel;
using report::Point;
using report::Series;

// What a loss is drawn against, of a step that a run logged.
struct Axis {
  const char* label;
  double (*of)(const LmStep& step);
  std::string (*format)(double value);
  double (*unit)(double largest);  // what ticks stand at round multiples of
};

double one(double) {
  return 1;
}

double unit_of_time(double largest) {
  return largest < 180 ? 1 : largest < 3 * 3600 ? 60 : 3600;
}

constexpr Axis axes[] = {
    {"tokens", [](const LmStep& step) { return static_cast<double>(step.tokens); }, report::format_count, one},
    {"training FLOPs", [](const LmStep& step) { return step.flops; }, report::format_count, one},
    {"time of training", [](const LmStep& step) { return step.seconds; }, human_seconds, unit_of_time},
};

// Three or four ticks at round numbers, with their prefix: long numbers would run into each other.
void tick(Panel& panel, const Axis& axis) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const Series& series : panel.series) {
    for (const Point& point : series.points) {
      low = std::min(low, point.x);
      high = std::max(high, point.x);
    }
  }
  if (!(high > 0)) return;
  const double rough = (high - std::min(low, high / 2)) / 3;
  const double unit = axis.unit(high);
  double step = unit * std::pow(10, std::floor(std::log10(rough / unit)));
  for (const double factor : {5.0, 2.0}) {
    if (factor * step <= rough) {
      step *= factor;
      break;
    }
  }
  for (double x = step; x <= high * 1.001; x += step) {
    if (x >= low * 0.999) panel.x_ticks.push_back({.at = x, .label = axis.format(x)});
  }
}

// Puts the y axis around what the series show.
void fit(Panel& panel) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Series& series : panel.series) {
    for (const Point& point : series.points) {
      low = std::min(low, point.y);
      high = std::max(high, point.y);
    }
  }
  const double room = std::max(0.05 * (high - low), 1e-3);
  panel.y_minimum = low - room;
  panel.y_maximum = high + room;
}

std::size_t shortest(const LmSubject& subject, auto member) {
  std::size_t size = std::numeric_limits<std::size_t>::max();
  for (const LmRunRecord& record : subject.runs) size = std::min(size, (record.*member).size());
  return size;
}

// Means over seeds and over neighbouring steps, so that a line has a few dozen points.
Series training_line(const LmSubject& subject, const Axis& axis, std::size_t style) {
  constexpr std::size_t most_points = 60;
  Series line{.label = subject.label, .style = style, .points = {}};
  const std::size_t steps = shortest(subject, &LmRunRecord::steps);
  const std::size_t group = std::max<std::size_t>((steps + most_points - 1) / most_points, 1);
  for (std::size_t begin = 0; begin < steps; begin += group) {
    const std::size_t end = std::min(begin + group, steps);
    double x = 0, loss = 0;
    for (const LmRunRecord& record : subject.runs) {
      for (std::size_t i = begin; i < end; ++i) {
        x += axis.of(record.steps[i]);
        loss += record.steps[i].loss;
      }
    }
    const auto count = static_cast<double>((end - begin) * subject.runs.size());
    if (std::isfinite(loss)) line.points.push_back({x / count, loss / count, loss / count, loss / count});
  }
  return line;
}

Series validation_line(const LmSubject& subject, const Axis& axis, std::size_t style) {
  Series line{.label = subject.label, .style = style, .points = {}};
  const std::size_t evaluations = shortest(subject, &LmRunRecord::evaluations);
  for (std::size_t i = 0; i < evaluations; ++i) {
    double x = 0, loss = 0;
    for (const LmRunRecord& record : subject.runs) {
      const auto at = std::ranges::find(record.steps, record.evaluations[i].step, &LmStep::step);
      if (at == record.steps.end()) return line;
      x += axis.of(*at);
      loss += record.evaluations[i].loss;
    }
    const auto count = static_cast<double>(subject.runs.size());
    line.points.push_back({x / count, loss / count, loss / count, loss / count});
  }
  return line;
}

Figure loss_figure(std::span<const LmSubject> subjects, const report::Styles& styles, bool validation) {
  Figure figure{.title = validation ? "Validation loss" : "Training loss",
                .caption = validation ? "Nats a token on the validation split, at each evaluation."
                                      : "Nats a token, averaged over neighbouring steps.",
                .panels = {}};
  figure.open = validation;
  for (const Axis& axis : axes) {
    Panel panel{.title = std::string("against ") + axis.label,
                .x_label = axis.label,
                .y_label = "loss",
                .x_ticks = {},
                .markers = validation,
                .series = {}};
    for (const LmSubject& subject : subjects) {
      const std::size_t style = styles.at(subject.label);
      Series line = validation ? validation_line(subject, axis, style) : training_line(subject, axis, style);
      if (!line.points.empty()) panel.series.push_back(std::move(line));
    }
    if (panel.series.empty()) continue;
    fit(panel);
    tick(panel, axis);
    figure.panels.push_back(std::move(panel));
  }
  return figure;
}

Figure position_figure(std::span<const LmSubject> subjects, const report::Styles& styles) {
  Figure figure{.title = "Perplexity by position in the context",
                .caption = "A layer that uses its context predicts better the more of it there is.",
                .panels = {}};
  Panel panel{.title = "all validation tokens",
              .x_label = "position",
              .y_label = "perplexity",
              .x_ticks = {},
              .log2_x = true,
              .series = {}};
  for (const LmSubject& subject : subjects) {
    Series line{.label = subject.label, .style = styles.at(subject.label), .points = {}};
    for (std::size_t octave = 0;; ++octave) {
      double loss = 0;
      int count = 0;
      double x = 0;
      for (const LmRunRecord& record : subject.runs) {
        if (record.run.slices.empty()) continue;
        const auto& positions = record.run.slices.front().metrics.at("positions");
        if (octave >= positions.size() || positions[octave].at("loss").is_null()) continue;
        loss += positions[octave].at("loss").get<double>();
        x = (positions[octave].at("from").get<double>() + positions[octave].at("to").get<double>()) / 2 + 1;
        ++count;
      }
      if (count == 0) break;
      const double y = std::exp(loss / count);
      line.points.push_back({x, y, y, y});
    }
    if (!line.points.empty()) panel.series.push_back(std::move(line));
  }
  if (panel.series.empty()) return figure;
  fit(panel);
  figure.panels.push_back(std::move(panel));
  return figure;
}

}  // namespace

std::vector<Figure> lm_figures(std::span<const LmSubject> subjects, const report::Styles& styles) {
  std::vector<Figure> figures;
  for (Figure& figure : std::vector{loss_figure(subjects, styles, true), position_figure(subjects, styles),
                                    loss_figure(subjects, styles, false)}) {
    if (!figure.panels.empty()) figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace zoo
