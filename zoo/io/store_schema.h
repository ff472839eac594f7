#pragma once

/// The tables of a run store, and how older ones become today's.
namespace zoo {

inline constexpr int application_id = 0x7a6f6f31;  ///< "zoo1", in the file's header
inline constexpr int schema_version = 2;

// The first columns are read out of the JSON, so that a person can select by them without a second copy to keep right.
inline constexpr const char* schema = R"sql(
CREATE TABLE runs (
  number INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  layer TEXT GENERATED ALWAYS AS (json_extract(subject, '$.layer')) VIRTUAL,
  d_model INTEGER GENERATED ALWAYS AS
    (coalesce(json_extract(axes, '$.d_model'), json_extract(subject, '$.d_model'))) VIRTUAL,
  lr REAL GENERATED ALWAYS AS (json_extract(axes, '$.lr')) VIRTUAL,
  seed INTEGER GENERATED ALWAYS AS (json_extract(axes, '$.seed')) VIRTUAL,
  status TEXT NOT NULL CHECK (status IN ('running', 'done', 'diverged', 'failed', 'interrupted')),
  message TEXT NOT NULL DEFAULT '',
  started TEXT NOT NULL,
  finished TEXT NOT NULL DEFAULT '',
  subject TEXT NOT NULL CHECK (json_valid(subject)),
  axes TEXT NOT NULL CHECK (json_valid(axes)),
  setting TEXT NOT NULL CHECK (json_valid(setting)),
  environment TEXT NOT NULL CHECK (json_valid(environment)),
  summary TEXT NOT NULL DEFAULT 'null' CHECK (json_valid(summary))
);
CREATE TABLE epochs (
  run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  epoch INTEGER NOT NULL,
  train_loss REAL,
  validation_loss REAL,
  validation_accuracy REAL,
  learning_rate REAL,
  seconds REAL,
  PRIMARY KEY (run, epoch)
) WITHOUT ROWID;
CREATE TABLE slices (
  number INTEGER PRIMARY KEY,
  run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE,
  split TEXT NOT NULL CHECK (split IN ('train', 'validation', 'test')),
  slice TEXT NOT NULL CHECK (json_valid(slice)),
  accuracy REAL,
  loss REAL,
  state_bytes INTEGER NOT NULL,
  labelled INTEGER NOT NULL,
  metrics TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metrics)),
  UNIQUE (run, split, slice)
);
CREATE VIEW results AS
  SELECT id, layer, d_model, lr, seed, split, slice, accuracy, loss, state_bytes, status
  FROM runs JOIN slices ON slices.run = runs.id ORDER BY runs.number, slices.number;
)sql";

/// Version 1 had no metrics.
inline constexpr const char* from_version_1 =
    "ALTER TABLE slices ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}' CHECK (json_valid(metrics))";

}  // namespace zoo
