#include <fmt/format.h>

#include <filesystem>
#include <span>
#include <sstream>
#include <string>

#include "runners/arguments.h"
#include "runners/lm/compare_runs.h"
#include "runners/lm/lm.h"
#include "runners/lm/options.h"
#include "zoo/core/error.h"
#include "zoo/sweep/text.h"

namespace zoo {
namespace {

namespace po = boost::program_options;
using nlohmann::json;

// A rung of a ladder: what it changes of the one before.
struct Rung {
  std::string label;
  std::string folder;
  std::string published;
  std::string layer;
  json changes;
  std::string backbone = "transformer";
};

// Sun et al. 2024, "Learning to (learn at test time)", table 1: from linear attention (Katharopoulos et al. 2020) to
// TTT-Linear, with the perplexities that the paper has at 125 million parameters on the Pile in contexts of 2,048. The
// paper does not spell out the improvements of its second row; ours are what TTT's frame has and linear attention has
// not: no feature map, no normaliser, a LayerNorm of the output.
std::vector<Rung> ttt_ladder() {
  const json as_ttt = {{"inner", "linear"}, {"inner_bias", false},    {"gradient", "batch"},
                       {"eta", 0.5},        {"learn_initial", false}, {"residual_norm", false},
                       {"post_norm", true}, {"token_scale", false},   {"rope_base", 0}};
  return {{"linear attention",
           "1-linear-attention",
           "15.91",
           "linear_attention",
           {{"feature_map", "elu1"}, {"normalise", true}}},
          {"+ improvements",
           "2-improvements",
           "15.23",
           "linear_attention",
           {{"feature_map", "identity"}, {"normalise", false}, {"post_norm", true}}},
          {"as TTT", "3-as-ttt", "15.23", "ttt", as_ttt},
          {"+ learned W_0", "4-learned-w0", "15.27", "ttt", {{"learn_initial", true}, {"inner_bias", true}}},
          {"+ LN and residual in f", "5-ln-residual", "14.05", "ttt", {{"residual_norm", true}}},
          {"+ mini-batch", "6-mini-batch", "12.35", "ttt", {{"gradient", "mini_batch"}, {"mini_batch", 16}}},
          {"+ learned eta",
           "7-learned-eta",
           "11.99",
           "ttt",
           {{"eta", "learned"}, {"token_scale", true}, {"rope_base", 10000}}},
          {"+ Mamba backbone", "8-mamba-backbone", "11.09", "ttt", {{"gate", true}, {"share_qk", true}}, "mamba"}};
}

po::options_description describe_options() {
  po::options_description options;
  options.add_options()                                                                      //
      ("seeds", po::value<std::string>(), "one run of each rung for every seed, 0,1,2 (0)")  //
      ("out", po::value<std::string>(), "folder of the runs, their store runs.db, and the report");
  options.add(lm_choice_options()).add(lm_run_options());
  options.add_options()("help,h", po::bool_switch(), "this text");
  return options;
}

std::string usage() {
  std::ostringstream text;
  text << "Trains the ladder of a paper's ablation, each rung beside the published figure. There is one: ttt, from\n"
          "linear attention to TTT-Linear.\n\n"
          "Usage: zoo lm ablate ttt --corpus DIR --out DIR [OPTIONS]\n\n"
       << describe_options() << "\nFor example:\n  zoo lm ablate ttt --corpus corpus --preset tiny --out ablation\n";
  return text.str();
}

int run(std::span<const std::string> arguments) {
  const po::variables_map values = read_arguments("zoo lm ablate", describe_options(), arguments, "ladder");
  if (values["help"].as<bool>()) {
    fmt::print("{}", usage());
    return 0;
  }
  const auto ladders =
      values.contains("ladder") ? values["ladder"].as<std::vector<std::string>>() : std::vector<std::string>{};
  if (ladders.size() != 1) throw UsageError("zoo lm ablate takes one ladder's name: zoo lm ablate ttt ...");
  const std::vector<std::string> known = {"ttt"};
  if (ladders.front() != "ttt") throw UsageError(unknown_name_message("ladder", ladders.front(), known));
  for (const char* fixed : {"backbone", "layer-option", "option"}) {
    if (values.contains(fixed)) throw UsageError("--{} is what the ladder decides; zoo lm train takes it", fixed);
  }
  if (values.contains("seed") && values.contains("seeds")) throw UsageError("--seed and --seeds contradict; give one");
  LmChoices choices = read_lm_choices(values, {"ttt"});
  std::vector<std::int64_t> seeds = {static_cast<std::int64_t>(choices.seed)};
  if (values.contains("seeds")) seeds = parse_integers("--seeds", values["seeds"].as<std::string>(), 0);
  const Corpus corpus(needed_option("ablate", values, "corpus"));
  const std::filesystem::path out = needed_option("ablate", values, "out");

  std::vector<LmPlanned> planned;
  std::map<std::string, json> options;  // by layer: the changes so far
  for (const Rung& rung : ttt_ladder()) {
    json& own = options[rung.layer];
    if (own.is_null()) own = json::object();
    own.update(rung.changes);
    choices.layer_options = {{rung.layer, own}};
    choices.backbone = rung.backbone;
    LmPlanned one{.label = rung.label, .published = rung.published, .folder = rung.folder, .specs = {}};
    for (const std::int64_t seed : seeds) {
      choices.seed = static_cast<std::uint64_t>(seed);
      one.specs.push_back(plan_lm(rung.layer, choices, identity_of(corpus)));
    }
    planned.push_back(std::move(one));
  }
  return with_ranks([&](Collective& ranks) {
    return compare_planned(ranks, planned, "From linear attention to TTT-Linear", corpus, out,
                           read_lm_run_options(values), command_line({"zoo", "lm", "ablate"}, arguments),
                           /*backbones=*/true);
  });
}

const RegisterLm command({.name = "ablate", .help = "train the ladder of the TTT paper's ablation", .run = run});

}  // namespace
}  // namespace zoo
