// SPDX-License-Identifier: LGPL-2.1-or-later
//
// The catalogue: that every entry is well-formed, recognises the crash that it describes and no other, and
// what becomes of entries on real dumps.
#include "analyzers/catalogue.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "analyzers/catalogue_files.h"
#include "analyzers/registry.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

constexpr const char* kDumps[] = {"aux-hang-6.12.117.vmcore",   "healthy-6.1.192.vmcore",
                                  "healthy-6.12.117.vmcore",    "healthy-7.2.12.vmcore",
                                  "ibs-race-6.12.117.vmcore",   "lookalike-corruption-6.12.117.vmcore",
                                  "null-events-6.18.12.vmcore", "throttled-arch-6.18.12.vmcore"};

/// A crash as an entry describes it: an unwound stack that ends where stacks end.
CrashState crash_of(const CrashExample& example) {
  CrashState crash;
  crash.crash_class = example.crash_class;
  crash.function = example.function;
  for (const std::string& function : example.stack) {
    Frame frame;
    frame.function = function;
    crash.stack.frames.push_back(frame);
  }
  crash.stack.method = "orc";
  crash.stack.reached_end = true;
  return crash;
}

KernelLog log_of(const CrashExample& example) {
  KernelLog log;
  for (const std::string& line : example.log) {
    LogRecord record;
    record.text = line;
    log.records.push_back(record);
  }
  return log;
}

bool matches_any(const CatalogueEntry& entry, const CrashState& crash, const KernelLog& log,
                 const std::string& release = "") {
  if (!release.empty() && !entry.affected.empty() && !in_any(*upstream_release(release, ""), entry.affected))
    return false;
  std::string why;
  return std::any_of(entry.match.begin(), entry.match.end(), [&](const CrashSignature& signature) {
    return matches(signature, crash, log, &why).is(true);
  });
}

TEST(Catalogue, EntriesAboutAClassAreAllThatCanMatchIt) {
  std::set<std::string> classes;
  for (const CatalogueEntry& entry : catalogue())
    for (const CrashSignature& signature : entry.match)
      classes.insert(signature.classes.begin(), signature.classes.end());
  for (const std::string& crash_class : classes) {
    std::set<std::string> found;
    for (const CatalogueEntry& entry : catalogue_about(crash_class)) found.insert(entry.id);
    for (const CatalogueEntry& entry : catalogue())
      for (const CrashSignature& signature : entry.match)
        if (std::count(signature.classes.begin(), signature.classes.end(), crash_class)) {
          EXPECT_TRUE(found.contains(entry.id)) << entry.id << " " << crash_class;
        }
  }
  EXPECT_TRUE(catalogue_about("no-such-class").empty());
}

TEST(Catalogue, EveryFileIsAnEntry) {
  std::set<std::string> ids;
  for (const CatalogueFile& file : catalogue_files()) {
    try {
      const CatalogueEntry entry = parse_catalogue_entry(file.name, file.text);
      EXPECT_TRUE(ids.insert(entry.id).second) << file.name << ": " << entry.id << " is taken";
      EXPECT_FALSE(entry.references.empty()) << file.name;
      EXPECT_NE(entry.summary.back(), '.') << file.name << ": a summary is no sentence of its own";
      EXPECT_NE(entry.title.back(), '.') << file.name;
    } catch (const CatalogueError& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GE(ids.size(), 50u);
  EXPECT_EQ(catalogue().size(), ids.size());
}

TEST(Catalogue, RecognisesWhatItDescribesAndNothingElse) {
  for (const CatalogueEntry& entry : catalogue()) {
    for (const CrashExample& example : entry.examples) {
      if (!example.release.empty() && !entry.affected.empty()) {
        const auto release = upstream_release(example.release, "");
        ASSERT_TRUE(release) << entry.file << ": " << example.release;
        EXPECT_TRUE(in_any(*release, entry.affected)) << entry.file << ": " << example.release;
      }
      const CrashState crash = crash_of(example);
      const KernelLog log = log_of(example);
      EXPECT_TRUE(matches_any(entry, crash, log)) << entry.file << ": " << example.function;
      for (const CatalogueEntry& other : catalogue()) {
        // What rests on memory alone needs no look at the code, and is left out where memory does not say so.
        const bool by_state = std::none_of(other.match.begin(), other.match.end(),
                                           [](const CrashSignature& s) { return s.names_code(); });
        if (other.id == entry.id || by_state) continue;
        const bool expected =
            std::find(example.also.begin(), example.also.end(), other.id) != example.also.end();
        EXPECT_EQ(matches_any(other, crash, log, example.release), expected)
            << entry.file << ": " << example.function << " against " << other.file;
      }
    }
  }
}

TEST(Catalogue, AnotherClassOrOtherCodeIsNotRecognised) {
  for (const CatalogueEntry& entry : catalogue()) {
    for (const CrashExample& example : entry.examples) {
      CrashState other_class = crash_of(example);
      other_class.crash_class = "divide-error";
      EXPECT_FALSE(matches_any(entry, other_class, log_of(example))) << entry.file;
      if (std::none_of(entry.match.begin(), entry.match.end(),
                       [](const CrashSignature& s) { return s.names_code(); }))
        continue;
      CrashState other_code = crash_of(example);
      other_code.function = "ext4_writepages";
      for (Frame& frame : other_code.stack.frames) frame.function = "ext4_writepages";
      EXPECT_FALSE(matches_any(entry, other_code, log_of(example))) << entry.file;
    }
  }
}

TEST(Catalogue, ChecksAreExpressions) {
  test::PatchedKernel kernel(test::bundled("null-events-6.18.12.vmcore"));
  const auto with = [](std::string text, std::string_view what, std::string_view value) {
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what))
      text.replace(at, what.size(), value);
    return text;
  };
  const std::string task = "(" + kernel.original().current_task(1).expression() + ")";
  const std::string event =
      "((struct perf_event *)" +
      std::to_string(kernel.original().per_cpu("cpu_hw_events", 1).member("event_list[0]").u64().value()) +
      ")";
  for (const CatalogueEntry& entry : catalogue()) {
    for (const StateCheck& check : entry.checks) {
      std::string text = with(with(with(check.expression, "{cpu}", "1"), "{event}", event), "{task}", task);
      EXPECT_EQ(text.find('{'), std::string::npos) << entry.file << ": " << text;
      EXPECT_NO_THROW({
        const Object object = evaluate(kernel.original(), text);
        // A variable whose type only debug info tells, or a page that was left out, is not its fault; a
        // member that does not exist is.
        if (const Unread* unread = object.unread()) {
          EXPECT_TRUE(unread->reason == UnreadReason::kNoSymbol || unread->reason == UnreadReason::kNoType ||
                      unread->reason == UnreadReason::kNullPointer ||
                      unread->reason == UnreadReason::kExcluded)
              << entry.file << ": " << unread->message();
        }
      }) << entry.file
         << ": " << text;
    }
  }
}

TEST(Catalogue, ListsNothingOnDumpsOfOtherCauses) {
  for (const char* name : kDumps) {
    test::PatchedKernel kernel(test::bundled(name));
    Diagnosis diagnosis(kernel.original());
    // Not even where no rule had found the cause.
    for (const KnownCause& cause : known_causes(diagnosis, catalogue(), {}))
      ADD_FAILURE() << name << ": " << cause.entry->id << ": " << cause.why;
  }
}

std::vector<std::string> known_ids(Kernel& kernel) {
  Diagnosis diagnosis(kernel);
  std::vector<std::string> ids;
  for (const KnownCause& cause : known_causes(diagnosis, catalogue(), run_rules(diagnosis, all_rules()))) {
    EXPECT_TRUE(cause.verdict == Verdict::kPossible || cause.verdict == Verdict::kUndetermined);
    ids.push_back(cause.entry->id);
  }
  return ids;
}

TEST(Catalogue, WhatRestsOnMemoryIsListedOnlyWhereMemorySaysSo) {
  test::PatchedKernel kernel(test::bundled("healthy-7.2.12.vmcore"));
  const Object time = kernel.original()
                          .per_cpu("cpu_hw_events", 1)
                          .member("event_list[0]")
                          .deref()
                          .member("child_total_time_enabled.counter");
  EXPECT_EQ(known_ids(kernel.patched()), std::vector<std::string>());
  kernel.memory().poke<int64_t>(time.address().value(), -5000);
  EXPECT_EQ(known_ids(kernel.patched()), std::vector<std::string>{"D-42"});
  kernel.memory().take_away(time.address().value(), 8);
  EXPECT_EQ(known_ids(kernel.patched()), std::vector<std::string>());
}

/// An entry that fits the crash of the bundled dump with the NULL event.
CatalogueEntry fitting() {
  CatalogueEntry entry;
  entry.id = "D-99";
  CrashSignature signature;
  signature.classes = {"null-deref"};
  signature.functions = {"x86_pmu_handle_irq"};
  signature.stack_all = {"perf_event_nmi_handler"};
  entry.match = {signature};
  return entry;
}

StateCheck check(std::string expression, StateCheck::Over over, bool required) {
  StateCheck result;
  result.claim = "a claim";
  result.expression = std::move(expression);
  result.over = over;
  result.required = required;
  return result;
}

class OnNullEvents : public ::testing::Test {
 protected:
  OnNullEvents() : kernel_(test::bundled("null-events-6.18.12.vmcore")), diagnosis_(kernel_.original()) {}

  std::vector<KnownCause> known(const CatalogueEntry& entry, std::span<const Finding> findings = {}) {
    entry_ = entry;
    return known_causes(diagnosis_, std::span(&entry_, 1), findings);
  }

  test::PatchedKernel kernel_;
  Diagnosis diagnosis_;
  CatalogueEntry entry_;
};

TEST_F(OnNullEvents, AtMostPossible) {
  const auto causes = known(fitting());
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_EQ(causes[0].verdict, Verdict::kPossible);
  EXPECT_FALSE(causes[0].supported);
  EXPECT_NE(causes[0].why.find("x86_pmu_handle_irq"), std::string::npos) << causes[0].why;
}

TEST_F(OnNullEvents, ACheckThatFailsLeavesTheEntryOut) {
  CatalogueEntry entry = fitting();
  entry.checks = {check("per_cpu(cpu_hw_events, {cpu}).n_events > 60", StateCheck::Over::kCrashedCpu, true)};
  EXPECT_TRUE(known(entry).empty());
  entry.checks[0].required = false;
  ASSERT_EQ(known(entry).size(), 1u);
  EXPECT_FALSE(known(entry)[0].supported);
}

TEST_F(OnNullEvents, ACheckThatHoldsSupportsIt) {
  CatalogueEntry entry = fitting();
  for (const StateCheck& one :
       {check("x86_pmu.name != 0", StateCheck::Over::kKernel, true),
        check("per_cpu(cpu_hw_events, {cpu}).events[0] == 0", StateCheck::Over::kCrashedCpu, true),
        check("{task}.pid >= 0", StateCheck::Over::kCrashedCpu, true),
        check("per_cpu(cpu_hw_events, {cpu}).events[0] == 0 && {cpu} == 1", StateCheck::Over::kAnyCpu, true),
        check("{event}->state == 1", StateCheck::Over::kAnyEvent, true)}) {
    entry.checks = {one};
    const auto causes = known(entry);
    ASSERT_EQ(causes.size(), 1u) << one.expression;
    EXPECT_EQ(causes[0].verdict, Verdict::kPossible) << one.expression;
    EXPECT_TRUE(causes[0].supported) << causes[0].why;
  }
}

TEST_F(OnNullEvents, ACheckThatCannotBeMadeIsUndeterminedAndSaysSo) {
  CatalogueEntry entry = fitting();
  entry.checks = {check("no_such_variable == 1", StateCheck::Over::kKernel, true)};
  auto causes = known(entry);
  ASSERT_EQ(causes.size(), 1u);
  EXPECT_EQ(causes[0].verdict, Verdict::kUndetermined);
  EXPECT_FALSE(causes[0].supported);
  EXPECT_NE(causes[0].why.find("no_such_variable"), std::string::npos) << causes[0].why;
  // Where nothing but memory could say it, what memory does not say is not said.
  entry.match[0].functions.clear();
  entry.match[0].stack_all.clear();
  EXPECT_TRUE(known(entry).empty());
  entry.checks = {check("x86_pmu.name != 0", StateCheck::Over::kKernel, true)};
  EXPECT_EQ(known(entry).size(), 1u);
}

TEST_F(OnNullEvents, AFoundCauseLeavesOnlyWhatMemorySupports) {
  const auto findings = run_rules(diagnosis_, all_rules());
  ASSERT_TRUE(findings.front().cause_of_crash);
  EXPECT_TRUE(known(fitting(), findings).empty());
  CatalogueEntry entry = fitting();
  entry.checks = {check("x86_pmu.name != 0", StateCheck::Over::kKernel, true)};
  EXPECT_EQ(known(entry, findings).size(), 1u);
}

TEST_F(OnNullEvents, ReleaseAndVendorMustFit) {
  CatalogueEntry entry = fitting();
  entry.affected = {{{6, 18, 0}, {6, 18, 13}}};
  EXPECT_EQ(known(entry).size(), 1u);
  entry.affected = {{{6, 18, 13}, {6, 19, 0}}};
  EXPECT_TRUE(known(entry).empty());
  entry.affected.clear();
  entry.vendor = "GenuineIntel";
  EXPECT_TRUE(known(entry).empty());
  entry.vendor = "AuthenticAMD";
  EXPECT_EQ(known(entry).size(), 1u);
}

TEST(Matches, AStackThatBreaksOffIsUndetermined) {
  CrashState crash;
  crash.crash_class = "gpf";
  crash.function = "perf_prepare_sample.isra.0";
  CrashSignature signature;
  signature.classes = {"gpf"};
  signature.functions = {"perf_prepare_*"};
  signature.stack_any = {"__perf_event_overflow"};
  std::string why;
  EXPECT_FALSE(matches(signature, crash, {}, &why).has_value());
  crash.stack.method = "orc";
  crash.stack.reached_user = true;
  EXPECT_TRUE(matches(signature, crash, {}, &why).is(false));
  Frame frame;
  frame.function = "__perf_event_overflow";
  crash.stack.frames = {frame};
  EXPECT_TRUE(matches(signature, crash, {}, &why).is(true));
  crash.stack.frames[0].reliable = false;
  EXPECT_TRUE(matches(signature, crash, {}, &why).is(false));
}

TEST(Matches, ALogThatIsMissingIsUndetermined) {
  CrashState crash;
  crash.crash_class = "warning";
  crash.function = "amd_pmu_v2_handle_irq";
  CrashSignature signature;
  signature.classes = {"warning"};
  signature.functions = {"amd_pmu_v2_handle_irq"};
  signature.log_any = {"New overflows"};
  std::string why;
  KernelLog log;
  EXPECT_TRUE(matches(signature, crash, log, &why).is(false));
  log.incomplete = Unread{UnreadReason::kExcluded, 0, "prb", ""};
  EXPECT_FALSE(matches(signature, crash, log, &why).has_value());
}

constexpr const char* kGood = R"({
  "id": "D-77",
  "title": "t",
  "summary": "s",
  "why": "w",
  "certainty": "source",
  "source": "s",
  "match": [{"classes": ["gpf"], "functions": ["f"]}],
  "kernels": [{"text": "t", "certainty": "source"}],
  "references": [{"kind": "fix", "id": "i", "title": "t", "releases": "r", "certainty": "source"}],
  "remedy": ["r"],
  "examples": [{"class": "gpf", "function": "f", "stack": ["f"]}]
})";

TEST(Parse, AGoodEntry) {
  const CatalogueEntry entry = parse_catalogue_entry("D-77-x.json", kGood);
  EXPECT_EQ(entry.id, "D-77");
  EXPECT_EQ(entry.match.size(), 1u);
}

TEST(Parse, MistakesNameFileAndLine) {
  const auto replaced = [](std::string_view what, std::string_view with) {
    std::string text = kGood;
    const size_t at = text.find(what);
    EXPECT_NE(at, std::string::npos) << what;
    return text.replace(at, what.size(), with);
  };
  struct Case {
    std::string text;
    int line;
    const char* says;
  };
  const Case cases[] = {
      {replaced("\"w\",", "\"w\""), 6, "syntax error"},
      {replaced("\"why\"", "\"wy\""), 5, "\"wy\" is not known"},
      {replaced("\"source\",\n", "\"surely\",\n"), 6, "\"surely\" is no certainty"},
      {replaced("\"gpf\"]", "\"gfp\"]"), 8, "\"gfp\" is no class"},
      {replaced(", \"functions\": [\"f\"]", ""), 8, "functions or for frames"},
      {replaced("[\"f\"]}],\n  \"k", "[\"*\"]}],\n  \"k"), 8, "may only end a name"},
      {replaced("[\"f\"]}],\n  \"k", "[]}],\n  \"k"), 8, "must not be empty"},
      {replaced("\"fix\"", "\"fixed\""), 10, "no kind of reference"},
      {replaced("\"D-77\"", "\"D-78\""), 2, "must begin with its id"},
      {replaced("  \"remedy\": [\"r\"],\n", ""), 1, "\"remedy\" is missing"},
      {replaced("\"remedy\"", "\"affected\": [[\"6.2\", \"6.1\"]],\n  \"remedy\""), 11, "is empty"},
      {replaced("\"remedy\"", "\"affected\": [[\"six\", \"6.1\"]],\n  \"remedy\""), 11, "no release"},
      {replaced("\"remedy\"", "\"vendor\": \"AMD\",\n  \"remedy\""), 11, "AuthenticAMD"},
      {replaced("\"remedy\"",
                "\"checks\": [{\"claim\": \"c\", \"expression\": \"1\", \"over\": \"all\"}],\n  \"remedy\""),
       11, "over what?"},
      {"[]", 1, "one object"},
      {"", 1, "parse error"},
  };
  for (const Case& one : cases) {
    try {
      parse_catalogue_entry("D-77-x.json", one.text);
      ADD_FAILURE() << "accepted, but: " << one.says;
    } catch (const CatalogueError& error) {
      const std::string expected = "D-77-x.json:" + std::to_string(one.line) + ": ";
      EXPECT_EQ(std::string(error.what()).substr(0, expected.size()), expected) << error.what();
      EXPECT_NE(std::string(error.what()).find(one.says), std::string::npos) << error.what();
    }
  }
}

TEST(Knowledge, EveryRuleTellsWhatItKnows) {
  for (const RuleInfo& rule : all_rules()) {
    ASSERT_TRUE(rule.knowledge) << rule.id;
    const RuleKnowledge known = rule.knowledge();
    EXPECT_FALSE(known.summary.empty()) << rule.id;
    EXPECT_FALSE(known.symptoms.empty()) << rule.id;
    EXPECT_FALSE(known.mechanism.empty()) << rule.id;
    EXPECT_FALSE(known.look_alikes.empty()) << rule.id;
    EXPECT_FALSE(known.kernels.empty()) << rule.id;
    EXPECT_FALSE(known.commits.empty()) << rule.id;
    EXPECT_FALSE(known.remedy.empty()) << rule.id;
    EXPECT_TRUE(std::any_of(known.evidence.begin(), known.evidence.end(), [](const EvidenceKind& kind) {
      return kind.role == EvidenceRole::kRequired;
    })) << rule.id;
    for (const EvidenceKind& kind : known.evidence) {
      EXPECT_GE(kind.weight, 0) << rule.id << ": " << kind.claim;
      if (kind.certainty != Certainty::kExpert) {
        EXPECT_FALSE(kind.source.empty()) << rule.id << ": " << kind.claim;
      }
    }
  }
}

TEST(Knowledge, FindingsRestOnEvidenceThatTheRuleTellsOf) {
  for (const char* name : kDumps) {
    test::PatchedKernel kernel(test::bundled(name));
    Diagnosis diagnosis(kernel.original());
    const auto findings = run_rules(diagnosis, all_rules());
    for (const RuleInfo& rule : all_rules()) {
      const RuleKnowledge known = rule.knowledge();
      const Finding& finding = test::finding_of(findings, rule.id);
      for (const Evidence& evidence : finding.evidence) {
        if (evidence.weight == 0) continue;
        EXPECT_TRUE(std::any_of(known.evidence.begin(), known.evidence.end(),
                                [&](const EvidenceKind& kind) { return kind.weight == evidence.weight; }))
            << rule.id << ": " << evidence.claim << " +" << evidence.weight;
      }
      for (const Reference& reference : finding.references)
        EXPECT_TRUE(
            std::any_of(known.commits.begin(), known.commits.end(),
                        [&](const KnownCommit& commit) { return commit.reference.id == reference.id; }))
            << rule.id << ": " << reference.id;
    }
  }
}

}  // namespace
}  // namespace perfcore
