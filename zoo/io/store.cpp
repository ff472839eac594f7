#include "zoo/io/store.h"

#include <SQLiteCpp/SQLiteCpp.h>
#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <system_error>
#include <unordered_map>

#include "zoo/core/error.h"
#include "zoo/io/store_schema.h"

namespace zoo {

namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int busy_timeout_ms = 5000;

std::string text_of(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// SQLite has no NaN: it becomes NULL, and NULL becomes NaN again.
double real(const SQLite::Column& column) {
  return column.isNull() ? std::numeric_limits<double>::quiet_NaN() : column.getDouble();
}

RunStatus parse_status(const std::string& name) {
  for (const RunStatus status : {RunStatus::running, RunStatus::done, RunStatus::diverged, RunStatus::failed}) {
    if (name == status_name(status)) return status;
  }
  return RunStatus::interrupted;
}

// What to do about an error of SQLite, for people.
std::string explanation(const SQLite::Exception& error) {
  switch (error.getErrorCode()) {
    case SQLITE_NOTADB:
      return "it is not an SQLite database; name another file, or remove this one if nobody needs it";
    case SQLITE_CORRUPT:
      return "the file is damaged; restore it from a copy, or save what can be read with: sqlite3 FILE .recover";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "another process has been writing to it for more than five seconds; wait for it to end, or use another "
             "file";
    case SQLITE_FULL:
      return "the disk is full; free some space and run the same command again, it goes on from what is recorded";
    case SQLITE_READONLY:
      return "it may not be written; change its permissions and its folder's, or use another file";
    case SQLITE_CANTOPEN:
      return "it or the files beside it (-wal, -shm) cannot be opened; check the permissions of the file and its "
             "folder";
    case SQLITE_IOERR:
      return fmt::format(
          "the disk refused to read or write ({}); check the free space, the limit on the size of files (ulimit -f), "
          "and that it is a local disk",
          error.what());
    default:
      return error.what();
  }
}

std::string percent_encoded(const std::string& path) {
  std::string uri;
  for (const char c : path) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '/' || c == '-' || c == '_' || c == '.';
    uri += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return uri;
}

enum class Content { empty, store };

}  // namespace

struct Store::Impl {
  std::string path;  // as given, for messages
  std::unique_ptr<SQLite::Database> database;

  // Runs `work`; an error of SQLite becomes one that says what to do.
  template <typename Failure = Error, typename Work>
  auto guarded(std::string_view what, Work&& work) const {
    try {
      return work();
    } catch (const SQLite::Exception& error) {
      throw Failure("cannot {} the run store '{}': {}", what, path, explanation(error));
    } catch (const json::exception& error) {
      throw Failure("cannot {} the run store '{}': it holds JSON that cannot be read ({})", what, path, error.what());
    }
  }

  std::int64_t pragma(const std::string& name) const { return database->execAndGet("PRAGMA " + name).getInt64(); }

  // Whose file it is. Before anything is written to it: a file of someone else's must stay as it is.
  Content identify() const {
    const std::int64_t owner = pragma("application_id");
    const std::int64_t tables = database->execAndGet("SELECT count(*) FROM sqlite_master").getInt64();
    if (owner == 0 && tables == 0) return Content::empty;
    if (owner != application_id) {
      throw UsageError("'{}' is an SQLite database, but not a run store of zoo; name another file", path);
    }
    const std::int64_t version = pragma("user_version");
    if (version > schema_version) {
      throw UsageError(
          "the run store '{}' was written by a newer version of zoo (format {}; this one reads up to {}); install that "
          "version, or use another file",
          path, version, schema_version);
    }
    if (version < 1) throw UsageError("the run store '{}' has the unknown format {}", path, version);
    return Content::store;
  }

  void check_path(Mode mode) const {
    std::error_code error;
    if (path.empty()) throw UsageError("the name of a run store is empty; give a file, such as runs.db");
    if (fs::is_directory(path, error)) {
      throw UsageError("the run store '{}' is a folder; give a file, such as {}", path,
                       (fs::path(path) / "runs.db").string());
    }
    const fs::path folder = fs::absolute(path).parent_path();
    if (!fs::is_directory(folder, error)) {
      throw UsageError("cannot open the run store '{}': there is no folder '{}'; create it first", path,
                       folder.string());
    }
    if (mode == Mode::read && fs::status(path, error).type() == fs::file_type::not_found) {
      throw UsageError("there is no run store '{}'; `zoo recall --store FILE` writes one", path);
    }
    if (mode == Mode::read && ::access(path.c_str(), R_OK) != 0) {
      throw UsageError("the run store '{}' may not be read: {}", path, std::generic_category().message(errno));
    }
  }

  void open_for_writing() {
    database = std::make_unique<SQLite::Database>(fs::absolute(path).string(),
                                                  SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, busy_timeout_ms);
    if (sqlite3_db_readonly(database->getHandle(), "main") == 1) {
      throw UsageError("the run store '{}' may not be written; change its permissions, or use another file", path);
    }
    identify();
    if (database->execAndGet("PRAGMA journal_mode = WAL").getString() != "wal") {
      throw UsageError("the run store '{}' is on a file system without shared memory; use a file on a local disk",
                       path);
    }
    database->exec("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    // Also where there is nothing to create: a store that cannot be written is found now, not after hours of training.
    SQLite::Transaction transaction(*database, SQLite::TransactionBehavior::IMMEDIATE);
    if (identify() == Content::empty) {
      database->exec(schema);
      database->exec(
          fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", application_id, schema_version));
    } else if (pragma("user_version") == 1) {
      database->exec(from_version_1);
      database->exec(fmt::format("PRAGMA user_version = {}", schema_version));
    } else {
      database->exec("UPDATE runs SET message = message WHERE number = 1");
    }
    transaction.commit();
  }

  void open_for_reading() {
    const std::string file = fs::absolute(path).string();
    try {
      database = std::make_unique<SQLite::Database>(file, SQLite::OPEN_READONLY, busy_timeout_ms);
      identify();
    } catch (const SQLite::Exception& error) {
      // A write-ahead log needs files beside the store. Where they cannot be made, nobody is writing either, and the
      // file may be read as it stands, unless a killed writer left a log there.
      if (error.getErrorCode() != SQLITE_CANTOPEN && error.getErrorCode() != SQLITE_READONLY) throw;
      std::error_code none;
      const auto log = fs::file_size(file + "-wal", none);
      if (!none && log > 0) {
        throw UsageError(
            "the run store '{}' has a log of changes, '{}-wal', which can only be read where it may be written; copy "
            "both "
            "files to a folder of yours and read that copy",
            path, path);
      }
      database = std::make_unique<SQLite::Database>("file:" + percent_encoded(file) + "?immutable=1",
                                                    SQLite::OPEN_READONLY | SQLite::OPEN_URI, busy_timeout_ms);
    }
    if (identify() == Content::empty)
      throw UsageError("'{}' is empty, not a run store of zoo; name another file", path);
  }

  // A statement with its parameters bound in order.
  template <typename... Values>
  SQLite::Statement statement(const char* query, const Values&... values) const {
    SQLite::Statement prepared(*database, query);
    int index = 0;
    (prepared.bind(++index, values), ...);
    return prepared;
  }

  void require_run(const std::string& id) const {
    SQLite::Statement query = statement("SELECT 1 FROM runs WHERE id = ?", id);
    if (!query.executeStep()) throw Error("there is no run {} in the run store '{}'; it must begin first", id, path);
  }

  // The run of that id, or all in the order in which they first started when the id is empty.
  std::vector<Run> read(const std::string& id) const {
    SQLite::Transaction snapshot(*database);  // a writer may be active: all three tables as of one moment
    std::vector<Run> runs;
    std::unordered_map<std::string, std::size_t> index;
    SQLite::Statement query = statement(
        "SELECT id, subject, axes, setting, status, message, environment, summary, started, finished FROM runs "
        "WHERE ?1 IN ('', id) ORDER BY number",
        id);
    while (query.executeStep()) {
      Run run;
      run.id = query.getColumn(0).getString();
      run.spec = {json::parse(query.getColumn(1).getString()), json::parse(query.getColumn(2).getString()),
                  json::parse(query.getColumn(3).getString())};
      run.status = parse_status(query.getColumn(4).getString());
      run.message = query.getColumn(5).getString();
      run.environment = json::parse(query.getColumn(6).getString());
      run.summary = json::parse(query.getColumn(7).getString());
      run.started = query.getColumn(8).getString();
      run.finished = query.getColumn(9).getString();
      index.emplace(run.id, runs.size());
      runs.push_back(std::move(run));
    }
    SQLite::Statement epochs = statement(
        "SELECT run, epoch, train_loss, validation_loss, validation_accuracy, learning_rate, seconds FROM epochs "
        "WHERE ?1 IN ('', run) ORDER BY run, epoch",
        id);
    while (epochs.executeStep()) {
      runs[index.at(epochs.getColumn(0).getString())].epochs.push_back(
          {epochs.getColumn(1).getInt64(), real(epochs.getColumn(2)), real(epochs.getColumn(3)),
           real(epochs.getColumn(4)), real(epochs.getColumn(5)), real(epochs.getColumn(6))});
    }
    const std::string metrics = pragma("user_version") == 1 ? "'{}'" : "metrics";
    SQLite::Statement slices = statement(("SELECT run, split, slice, accuracy, loss, state_bytes, labelled, " +
                                          metrics + " FROM slices WHERE ?1 IN ('', run) ORDER BY number")
                                             .c_str(),
                                         id);
    while (slices.executeStep()) {
      runs[index.at(slices.getColumn(0).getString())].slices.push_back(
          {slices.getColumn(1).getString(), json::parse(slices.getColumn(2).getString()), real(slices.getColumn(3)),
           real(slices.getColumn(4)), slices.getColumn(5).getInt64(), slices.getColumn(6).getInt64(),
           json::parse(slices.getColumn(7).getString())});
    }
    return runs;
  }
};

Store::Store(const std::string& path, Mode mode) : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  impl_->guarded<UsageError>("open", [&] {
    impl_->check_path(mode);
    mode == Mode::write ? impl_->open_for_writing() : impl_->open_for_reading();
  });
}

Store::~Store() = default;
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;

void Store::begin(const RunSpec& spec, const json& environment, std::int64_t keep_epochs) {
  impl_->guarded("write to", [&] {
    const std::string id = spec.id();
    SQLite::Transaction transaction(*impl_->database, SQLite::TransactionBehavior::IMMEDIATE);
    impl_->statement("DELETE FROM epochs WHERE run = ? AND epoch > ?", id, keep_epochs).exec();
    impl_->statement("DELETE FROM slices WHERE run = ?", id).exec();
    impl_
        ->statement(
            "INSERT INTO runs (id, status, started, subject, axes, setting, environment) "
            "VALUES (?1, 'running', strftime('%Y-%m-%dT%H:%M:%SZ', 'now'), ?2, ?3, ?4, ?5) "
            "ON CONFLICT (id) DO UPDATE SET status = 'running', message = '', finished = '', summary = 'null', "
            "environment = excluded.environment, started = iif(?6, started, excluded.started)",
            id, text_of(spec.subject), text_of(spec.axes), text_of(spec.setting), text_of(environment),
            keep_epochs > 0 ? 1 : 0)
        .exec();
    transaction.commit();
  });
}

void Store::add_epoch(const std::string& id, const EpochResult& epoch) {
  impl_->guarded("write to", [&] {
    SQLite::Transaction transaction(*impl_->database, SQLite::TransactionBehavior::IMMEDIATE);
    impl_->require_run(id);
    impl_
        ->statement("INSERT OR REPLACE INTO epochs VALUES (?, ?, ?, ?, ?, ?, ?)", id, epoch.epoch, epoch.train_loss,
                    epoch.validation_loss, epoch.validation_accuracy, epoch.learning_rate, epoch.seconds)
        .exec();
    transaction.commit();
  });
}

void Store::finish(const std::string& id, RunStatus status, std::string_view message, const json& summary,
                   const std::vector<SliceResult>& slices) {
  impl_->guarded("write to", [&] {
    SQLite::Transaction transaction(*impl_->database, SQLite::TransactionBehavior::IMMEDIATE);
    impl_->require_run(id);
    impl_->statement("DELETE FROM slices WHERE run = ?", id).exec();
    impl_
        ->statement(
            "UPDATE runs SET status = ?, message = ?, summary = ?, finished = strftime('%Y-%m-%dT%H:%M:%SZ', 'now') "
            "WHERE id = ?",
            std::string(status_name(status)), std::string(message), text_of(summary), id)
        .exec();
    for (const SliceResult& slice : slices) {
      impl_
          ->statement(
              "INSERT INTO slices (run, split, slice, accuracy, loss, state_bytes, labelled, metrics) "
              "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
              id, slice.split, text_of(slice.slice), slice.accuracy, slice.loss, slice.state_bytes, slice.labelled,
              text_of(slice.metrics))
          .exec();
    }
    transaction.commit();
  });
}

std::optional<Run> Store::find(const std::string& id) const {
  if (id.empty()) return std::nullopt;
  return impl_->guarded("read", [&]() -> std::optional<Run> {
    std::vector<Run> found = impl_->read(id);
    if (found.empty()) return std::nullopt;
    return std::move(found.front());
  });
}

std::vector<Run> Store::runs() const {
  return impl_->guarded("read", [&] { return impl_->read(""); });
}

}  // namespace zoo
