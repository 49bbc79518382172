// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The tables of the store, as the steps from each version to the next. A released step never changes: what
/// changes is a new one.
#pragma once

#include <array>

namespace perfcore {

inline constexpr std::array kStoreMigrations = {
    // 1
    R"(
CREATE TABLE bucket (
  id TEXT PRIMARY KEY,
  schema_version BIGINT NOT NULL,
  crash_class TEXT NOT NULL,
  cause TEXT NOT NULL,
  facts TEXT NOT NULL,  -- "name=value", one a line
  partial BIGINT NOT NULL,
  title TEXT NOT NULL
) /*strict*/;
CREATE INDEX bucket_by_class ON bucket (crash_class, partial);

CREATE TABLE crash (
  id TEXT PRIMARY KEY,
  signature TEXT NOT NULL REFERENCES bucket (id),
  kernel TEXT NOT NULL,
  kernel_version TEXT NOT NULL,
  build_id TEXT NOT NULL,
  host TEXT NOT NULL,
  crash_time BIGINT,  -- seconds since 1970
  source TEXT NOT NULL,
  path TEXT NOT NULL,
  title TEXT NOT NULL,
  rule TEXT NOT NULL,
  verdict TEXT NOT NULL,
  taint BIGINT,
  summary TEXT NOT NULL,
  story TEXT NOT NULL,  -- a step a line
  pmu_map TEXT,
  answer TEXT NOT NULL,
  rank BIGINT NOT NULL  -- how much it says: less is more
) /*strict*/;
CREATE INDEX crash_by_signature ON crash (signature);
CREATE INDEX crash_by_path ON crash (path);

CREATE TABLE finding (
  crash TEXT NOT NULL REFERENCES crash (id) ON DELETE CASCADE,
  position BIGINT NOT NULL,
  rule TEXT NOT NULL,
  title TEXT NOT NULL,
  verdict TEXT NOT NULL,
  stage TEXT NOT NULL,
  cause_of_crash BIGINT NOT NULL,
  score BIGINT NOT NULL,
  PRIMARY KEY (crash, position)
) /*strict*/;
CREATE INDEX finding_by_rule ON finding (rule, verdict);

CREATE TABLE fact (
  crash TEXT NOT NULL REFERENCES crash (id) ON DELETE CASCADE,
  rule TEXT NOT NULL,  -- '' of the crash as such
  kind TEXT NOT NULL,  -- 'key', 'facet', 'finding'
  name TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (crash, rule, kind, name)
) /*strict*/;
CREATE INDEX fact_by_value ON fact (name, kind);

CREATE TABLE frame (
  crash TEXT NOT NULL REFERENCES crash (id) ON DELETE CASCADE,
  position BIGINT NOT NULL,
  function TEXT NOT NULL,
  module TEXT NOT NULL,
  PRIMARY KEY (crash, position)
) /*strict*/;
CREATE INDEX frame_by_function ON frame (function);

CREATE TABLE alias (
  id TEXT NOT NULL,
  bucket TEXT NOT NULL REFERENCES bucket (id) ON DELETE CASCADE,
  kind TEXT NOT NULL,  -- 'merged': crashes of id count as of bucket; 'related': for searching only
  level TEXT NOT NULL,
  PRIMARY KEY (id, bucket, kind)
) /*strict*/;
CREATE INDEX alias_by_bucket ON alias (bucket);

CREATE TABLE label (
  crash TEXT PRIMARY KEY REFERENCES crash (id) ON DELETE CASCADE,
  label TEXT NOT NULL
) /*strict*/;

CREATE TABLE input (
  path TEXT PRIMARY KEY,
  size BIGINT NOT NULL,
  mtime_ns BIGINT NOT NULL,
  inode BIGINT NOT NULL,
  outcome TEXT NOT NULL,
  why TEXT NOT NULL
) /*strict*/;

CREATE VIEW placed AS
  SELECT crash.*, COALESCE(alias.bucket, crash.signature) AS bucket
  FROM crash LEFT JOIN alias ON alias.id = crash.signature AND alias.kind = 'merged';
)",
};

}  // namespace perfcore
