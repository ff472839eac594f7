#include "zoo/core/options.h"

#include <gmock/gmock.h>

#include <limits>
#include <ostream>

#include "zoo/core/error.h"
#include "zoo/core/options_describe.h"

namespace zoo {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::ThrowsMessage;
using Json = nlohmann::json;

const OptionSchema& schema() {
  static const OptionSchema all = OptionSchema()
                                      .boolean("rope", false, "rotary positions")
                                      .integer("heads", 1, {1, 64}, "number of heads")
                                      .integer("window", 0, {.minimum = 0}, "keys seen; 0 = all")
                                      .real("dropout", 0, {0, 1}, "probability")
                                      .real("shift", -1, {}, "any number")
                                      .text("note", "none", "free text")
                                      .choice("kernel", "exp", {"exp", "gaussian", "laplacian"}, "similarity")
                                      .real_or_choice("eta", "learned", {"learned"}, {0, 10}, "step size");
  return all;
}

Options make(const Json& given) {
  return Options(schema(), given, "layer test");
}

TEST(Options, DefaultsFillWhatIsNotGiven) {
  const Options options = make({{"heads", 4}});
  EXPECT_EQ(options.integer("heads"), 4);
  EXPECT_EQ(options.json(), Json::parse(R"({"dropout": 0.0, "eta": "learned", "heads": 4, "kernel": "exp",
                                            "note": "none", "rope": false, "shift": -1.0, "window": 0})"));
  EXPECT_EQ(make(nullptr).json(), make(Json::object()).json());
}

TEST(Options, TextFromTheCommandLineGivesTheSameRecordAsValues) {
  const Options text = make({{"rope", "true"},
                             {"heads", "2"},
                             {"window", "1e5"},
                             {"dropout", "1e-1"},
                             {"shift", "-0"},
                             {"note", "2"},
                             {"kernel", "gaussian"},
                             {"eta", "0.5"}});
  const Options values = make({{"rope", true},
                               {"heads", 2u},
                               {"window", 100000.0},
                               {"dropout", 0.1},
                               {"shift", 0},
                               {"note", "2"},
                               {"kernel", "gaussian"},
                               {"eta", 0.5}});
  EXPECT_EQ(text.json().dump(), values.json().dump());
  EXPECT_TRUE(text.boolean("rope"));
  EXPECT_EQ(text.integer("window"), 100000);
  EXPECT_EQ(text.real("dropout"), 0.1);
  EXPECT_FALSE(std::signbit(text.real("shift")));
  EXPECT_EQ(text.text("note"), "2");
  EXPECT_EQ(text.real("eta"), 0.5);
  EXPECT_FALSE(text.is_choice("eta"));
  EXPECT_TRUE(make({}).is_choice("eta"));
}

TEST(Options, WholeRangeOfIntegers) {
  constexpr auto largest = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(make({{"window", largest}}).integer("window"), largest);
  EXPECT_EQ(make({{"window", std::to_string(largest)}}).integer("window"), largest);
}

struct Refused {
  const char* option;
  Json value;
  const char* reason;
};
void PrintTo(const Refused& refused, std::ostream* out) {
  *out << refused.option << "=" << refused.value;
}

class RefusedValues : public testing::TestWithParam<Refused> {};

TEST_P(RefusedValues, SayWhatWasGivenAndWhatIsAllowed) {
  const Refused& given = GetParam();
  EXPECT_THAT(
      [&] {
        make({{given.option, given.value}});
      },
      ThrowsMessage<UsageError>(
          AllOf(HasSubstr(std::string("layer test: option ") + given.option + " is '"), HasSubstr(given.reason))));
}

INSTANTIATE_TEST_SUITE_P(
    Options, RefusedValues,
    testing::Values(
        Refused{"rope", "yes", "must be true or false"}, Refused{"rope", 1, "must be true or false"},
        Refused{"rope", "True", "must be true or false"}, Refused{"rope", "", "must be true or false"},
        Refused{"rope", nullptr, "must be true or false"}, Refused{"heads", 0, "must be a whole number from 1 to 64"},
        Refused{"heads", 65, "from 1 to 64"}, Refused{"heads", 2.5, "whole number"},
        Refused{"heads", "2.5", "whole number"}, Refused{"heads", "2x", "whole number"},
        Refused{"heads", "0x2", "whole number"}, Refused{"heads", " 2", "whole number"},
        Refused{"heads", "", "whole number"}, Refused{"heads", true, "whole number"},
        Refused{"heads", Json::array({1}), "whole number"}, Refused{"heads", "nan", "whole number"},
        Refused{"window", -1, "a whole number of at least 0"}, Refused{"window", "1e300", "whole number"},
        Refused{"window", "9223372036854775808", "whole number"}, Refused{"window", 18446744073709551615u, "whole"},
        Refused{"dropout", "nan", "must be a number from 0 to 1"}, Refused{"dropout", "inf", "number from 0 to 1"},
        Refused{"dropout", std::numeric_limits<double>::quiet_NaN(), "a number from 0 to 1"},
        Refused{"dropout", 1.5, "from 0 to 1"}, Refused{"dropout", "-1e-3", "from 0 to 1"},
        Refused{"shift", "inf", "must be a number"}, Refused{"shift", "1e400", "must be a number"},
        Refused{"shift", "0,5", "must be a number"}, Refused{"note", 5, "must be text"},
        Refused{"kernel", "gausian", "did you mean 'gaussian'? It must be one of exp, gaussian, laplacian"},
        Refused{"kernel", "cosine", "it must be one of"}, Refused{"kernel", 1, "it must be one of"},
        Refused{"eta", "learnt", "did you mean 'learned'? It must be a number from 0 to 10, or learned"},
        Refused{"eta", 11, "from 0 to 10"}, Refused{"eta", "nan", "from 0 to 10"}));

TEST(Options, UnknownNameSaysTheNearestAndTheListWithTypes) {
  EXPECT_THAT(
      [] {
        make({{"haeds", 2}});
      },
      ThrowsMessage<UsageError>(AllOf(HasSubstr("layer test: unknown option 'haeds'; did you mean 'heads'?"),
                                      HasSubstr("heads=1"), HasSubstr("a whole number from 1 to 64"),
                                      HasSubstr("kernel=exp"))));
  EXPECT_THAT(
      [] {
        make({{"zzz", 2}});
      },
      ThrowsMessage<UsageError>(AllOf(HasSubstr("unknown option 'zzz'"), Not(HasSubstr("did you mean")))));
  EXPECT_THAT(
      [] {
        Options({}, {{"heads", 2}}, "layer rwkv4");
      },
      ThrowsMessage<UsageError>("layer rwkv4: unknown option 'heads'; it has no options"));
  EXPECT_THAT([] { make(Json::array({"heads"})); }, ThrowsMessage<UsageError>(HasSubstr("must be names with values")));
}

TEST(Options, AskingForTheWrongTypeOrNameIsAnErrorOfTheCode) {
  const Options options = make({});
  EXPECT_THAT([&] { options.real("heads"); }, ThrowsMessage<Error>(HasSubstr("asked for as a real number")));
  EXPECT_THAT([&] { options.real("eta"); }, ThrowsMessage<Error>(HasSubstr("holds \"learned\"")));
  EXPECT_THAT([&] { options.integer("head"); }, ThrowsMessage<Error>(HasSubstr("not in the schema")));
}

TEST(OptionSchema, RefusesWhatCannotWork) {
  EXPECT_THROW(OptionSchema().integer("a", 0, {1, 2}, ""), Error);
  EXPECT_THROW(OptionSchema().choice("a", "x", {"y"}, ""), Error);
  EXPECT_THROW(OptionSchema().real("a", std::numeric_limits<double>::infinity(), {}, ""), Error);
  EXPECT_THROW(OptionSchema().boolean("a", true, "").text("a", "", ""), Error);
  EXPECT_THROW(OptionSchema().boolean("", true, ""), Error);
  EXPECT_THROW(OptionSchema().boolean("a=b", true, ""), Error);
}

TEST(OptionSchema, HelpAndJsonHoldEveryOption) {
  const std::string help = options_help(schema());
  const Json json = options_json(schema());
  ASSERT_EQ(json.size(), schema().specs().size());
  for (std::size_t i = 0; i < json.size(); ++i) {
    const OptionSpec& spec = schema().specs()[i];
    EXPECT_THAT(help, AllOf(HasSubstr("  " + spec.name + "="), HasSubstr(spec.help), HasSubstr(allowed_values(spec))));
    EXPECT_EQ(json[i]["name"], spec.name);
    EXPECT_EQ(json[i]["default"], spec.default_value);
  }
  EXPECT_EQ(json[1], Json::parse(R"({"name": "heads", "type": "integer", "default": 1, "minimum": 1.0, "maximum": 64.0,
                                     "help": "number of heads"})"));
  EXPECT_EQ(json[7]["choices"], Json({"learned"}));
}

TEST(Options, OneThatCameLaterIsRecordedOnlyWhenItIsNotItsDefault) {
  const OptionSchema schema = OptionSchema()
                                  .integer("heads", 1, {1, 64}, "heads")
                                  .real("epsilon", 1e-6, {0, 1}, "epsilon")
                                  .left_out_at_default();
  EXPECT_EQ(Options(schema, Json::object(), "a layer").json(), Json({{"heads", 1}}));
  EXPECT_EQ(Options(schema, {{"epsilon", "1e-6"}}, "a layer").json(), Json({{"heads", 1}}));
  EXPECT_EQ(Options(schema, {{"epsilon", 0.5}}, "a layer").json(), Json({{"heads", 1}, {"epsilon", 0.5}}));
  EXPECT_EQ(Options(schema, Json::object(), "a layer").real("epsilon"), 1e-6);
}

TEST(ParseAssignments, SplitsAtTheFirstEqualsSign) {
  EXPECT_EQ(parse_assignments({"heads=2", "note=a=b", "empty="}),
            Json({{"heads", "2"}, {"note", "a=b"}, {"empty", ""}}));
  EXPECT_THAT([] { parse_assignments({"heads"}); }, ThrowsMessage<UsageError>(HasSubstr("write name=value")));
  EXPECT_THROW(parse_assignments({"=2"}), UsageError);
  EXPECT_THAT([] { parse_assignments({"a=1", "a=2"}); }, ThrowsMessage<UsageError>(HasSubstr("given twice")));
}

}  // namespace
}  // namespace zoo
