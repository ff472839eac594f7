#include "zoo/text/prepare_state.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "zoo/io/atomic_file.h"
#include "zoo/text/json_file.h"

namespace zoo {

namespace {

using nlohmann::json;

constexpr const char* record_format = "zoo lm prepare";
constexpr const char* progress_format = "zoo lm prepare progress";
constexpr int state_version = 1;

bool has(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace

void write_prepare_record(const std::string& folder, const PrepareRecord& record) {
  json sources = json::array();
  for (const TextSource& source : record.sources) {
    sources.push_back(
        {{"path", source.path}, {"size", source.size}, {"changed", source.changed}, {"hash", source.hash}});
  }
  const json all = {{"format", record_format},     {"version", state_version},      {"command", record.command},
                    {"settings", record.settings}, {"sources", std::move(sources)}, {"documents", record.documents},
                    {"bytes", record.bytes}};
  write_file_atomically(folder + "/" + prepare_file_name,
                        all.dump(2, ' ', false, json::error_handler_t::replace) + "\n");
}

std::optional<PrepareRecord> read_prepare_record(const std::string& folder) {
  const std::string path = folder + "/" + prepare_file_name;
  if (!has(path)) return std::nullopt;
  const JsonFile file(path, record_format, state_version);
  PrepareRecord record{file.text("command"), file.texts("settings"), {}, file.count("documents"), file.count("bytes")};
  for (const JsonFile& source : file.objects("sources")) {
    record.sources.push_back({source.text("path"), source.count("size"), source.count("changed"), source.text("hash")});
  }
  return record;
}

void write_prepare_progress(const std::string& folder, const PrepareProgress& progress) {
  json splits;
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    json split = split_json(corpus_splits[i], progress.splits[i].info);
    split["unfinished"] = progress.splits[i].unfinished;
    splits[std::string(split_name(corpus_splits[i]))] = std::move(split);
  }
  const TextPosition& at = progress.position;
  const json all = {
      {"format", progress_format},
      {"version", state_version},
      {"position",
       {{"file", at.file}, {"offset", at.offset}, {"document", at.document}, {"document_bytes", at.document_bytes}}},
      {"splits", std::move(splits)}};
  write_file_atomically(folder + "/" + progress_file_name, all.dump(2) + "\n");
}

std::optional<PrepareProgress> read_prepare_progress(const std::string& folder) {
  const std::string path = folder + "/" + progress_file_name;
  if (!has(path)) return std::nullopt;
  const JsonFile file(path, progress_format, state_version);
  const JsonFile at = file.object("position");
  PrepareProgress progress{{static_cast<std::size_t>(at.count("file")), at.count("offset"), at.count("document"),
                            at.count("document_bytes")},
                           {}};
  for (std::size_t i = 0; i < corpus_splits.size(); ++i) {
    const std::string name(split_name(corpus_splits[i]));
    const JsonFile split = file.object("splits").object(name.c_str());
    progress.splits[i].unfinished = split.count("unfinished");
    progress.splits[i].info = parse_split_info(split, corpus_splits[i], progress.splits[i].unfinished);
  }
  return progress;
}

}  // namespace zoo
