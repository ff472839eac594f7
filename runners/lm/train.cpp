#include <fmt/format.h>

#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/lm/job.h"
#include "runners/lm/lm.h"
#include "runners/lm/options.h"
#include "zoo/lm/settings.h"
#include "zoo/report/format.h"
#include "zoo/sweep/text.h"
#include "zoo/sweep/units.h"

namespace zoo {
namespace {

namespace po = boost::program_options;

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                                                 //
      ("layer", po::value<std::string>(), "a layer, or a hybrid such as base_conv+attention")           //
      ("out", po::value<std::string>(), "folder of the run: its log, checkpoints, TensorBoard's file")  //
      ("store", po::value<std::string>(), "where it is recorded, an SQLite file (OUT/runs.db)");
  options.add(lm_choice_options()).add(lm_run_options());
  options.add_options()("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Trains a language model of any layer on a corpus. Ctrl-C stops it, the same command goes on.\n\n"
          "Usage: zoo lm train --layer LAYER --corpus DIR --out DIR [OPTIONS]\n\n"
       << describe_options()
       << "\nFor example:\n"
          "  zoo lm prepare --text book.txt --tokenizer byte --out corpus\n"
          "  zoo lm train --layer mamba --corpus corpus --preset tiny --steps 200 --out runs/mamba\n";
  return text.str();
}

void show(const Run& run) {
  if (run.status == RunStatus::diverged) {
    fmt::print("diverged: {}\n", run.message);
    return;
  }
  for (const SliceResult& slice : run.slices) {
    const auto& interval = slice.metrics.at("perplexity_interval");
    fmt::print("perplexity {:.3f}{} on {} validation tokens, loss {:.4f}, accuracy {:.4f}\n",
               slice.metrics.at("perplexity").get<double>(),
               interval.is_array()
                   ? fmt::format(" ({:.3f} to {:.3f})", interval[0].get<double>(), interval[1].get<double>())
                   : "",
               slice.labelled, slice.loss, slice.accuracy);
    fmt::print("{} parameters, {} of state, {} trained in {}\n", run.summary.at("parameters").get<std::int64_t>(),
               human_bytes(slice.state_bytes), human_flops(run.summary.at("flops").get<double>()),
               human_seconds(run.summary.at("train_seconds").get<double>()));
  }
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm train", describe_options(), arguments);
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  const std::string layer = needed_option("train", values, "layer");
  const std::string folder = needed_option("train", values, "out");
  const std::string path = values.contains("store") ? values["store"].as<std::string>() : folder + "/runs.db";
  const std::string line = command_line({"zoo", "lm", "train"}, arguments);
  const LmChoices choices = read_lm_choices(values, {layer});
  return with_ranks([&](Collective& ranks) {
    const Corpus corpus(needed_option("train", values, "corpus"));
    const RunSpec spec = plan_lm(layer, choices, identity_of(corpus));
    const LmRunRequest request = read_lm_run_options(values);
    read_lm_settings(spec);
    LmJob job(ranks, path);
    const Run result = job.make(spec, corpus, folder, request, line);
    if (result.status == RunStatus::interrupted) {
      if (job.leads()) fmt::print(stderr, "{}; to go on:\n  {}\n", result.message, line);
      return 130;
    }
    if (job.leads()) show(result);
    return 0;
  });
}

const RegisterLm command({.name = "train", .help = "train a language model of any layer", .run = run});

}  // namespace
}  // namespace zoo
