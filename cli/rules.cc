// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "analyzers/catalogue.h"
#include "analyzers/registry.h"
#include "commands.h"
#include "exit_codes.h"
#include "session.h"
#include "text_writer.h"

namespace perfcore::cli {
namespace {

using Json = nlohmann::ordered_json;

/// A rule, or an entry of the catalogue.
struct Subject {
  std::string id;
  std::string title;
  bool is_rule = false;
  RuleKnowledge knowledge;
};

struct RuleList {
  std::vector<Subject> subjects;
};

std::vector<Subject> all_subjects() {
  std::vector<Subject> subjects;
  for (const RuleInfo& rule : all_rules())
    subjects.push_back({rule.id, rule.title, true, rule.knowledge ? rule.knowledge() : RuleKnowledge{}});
  for (const CatalogueEntry& entry : catalogue())
    subjects.push_back({entry.id, entry.title, false, knowledge_of(entry)});
  return subjects;
}

/// Levenshtein's distance, upper and lower case alike.
size_t distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const bool same =
          std::tolower(static_cast<unsigned char>(a[i])) == std::tolower(static_cast<unsigned char>(b[j]));
      const size_t replaced = diagonal + (same ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

/// The ids that are nearest to a word that is none; those that contain it come first.
std::string nearest(const std::vector<Subject>& subjects, const std::string& word) {
  constexpr size_t kShown = 3;
  std::vector<std::pair<size_t, std::string>> ranked;
  for (const Subject& subject : subjects)
    ranked.emplace_back(
        strcasestr(subject.id.c_str(), word.c_str()) != nullptr ? 0 : distance(subject.id, word), subject.id);
  std::sort(ranked.begin(), ranked.end());
  std::string text;
  for (size_t i = 0; i < std::min(kShown, ranked.size()); ++i)
    text += (i == 0 ? "" : ", ") + ranked[i].second;
  return text;
}

std::string_view kind_of(const Subject& subject) {
  return subject.is_rule ? "rule" : "known";
}

Json to_json_value(const std::vector<KnownFact>& facts) {
  Json list = Json::array();
  for (const KnownFact& fact : facts)
    list.push_back({{"text", fact.text},
                    {"certainty", std::string(to_string(fact.certainty))},
                    {"source", fact.source}});
  return list;
}

std::string to_json(const RuleList& list) {
  Json rules = Json::array();
  for (const Subject& subject : list.subjects)
    rules.push_back({{"id", subject.id},
                     {"kind", std::string(kind_of(subject))},
                     {"title", subject.title},
                     {"summary", subject.knowledge.summary}});
  return Json({{"schema", "perfcore.rules/1"}, {"rules", rules}}).dump(2) + "\n";
}

std::string to_json(const Subject& subject) {
  const RuleKnowledge& known = subject.knowledge;
  Json evidence = Json::array(), look_alikes = Json::array(), commits = Json::array();
  for (const EvidenceKind& kind : known.evidence)
    evidence.push_back({{"claim", std::string(kind.claim)},
                        {"role", std::string(to_string(kind.role))},
                        {"weight", kind.weight},
                        {"certainty", std::string(to_string(kind.certainty))},
                        {"source", std::string(kind.source)}});
  for (const KnownLookAlike& other : known.look_alikes)
    look_alikes.push_back({{"title", other.title}, {"told_apart_by", other.told_apart_by}});
  for (const KnownCommit& commit : known.commits)
    commits.push_back({{"kind", commit.reference.kind},
                       {"id", commit.reference.id},
                       {"title", commit.reference.title},
                       {"releases", commit.releases},
                       {"certainty", std::string(to_string(commit.certainty))},
                       {"source", commit.source}});
  return Json({{"schema", "perfcore.rule/1"},
               {"id", subject.id},
               {"kind", std::string(kind_of(subject))},
               {"title", subject.title},
               {"summary", known.summary},
               {"symptoms", to_json_value(known.symptoms)},
               {"mechanism", to_json_value(known.mechanism)},
               {"evidence", evidence},
               {"look_alikes", look_alikes},
               {"kernels", to_json_value(known.kernels)},
               {"commits", commits},
               {"remedy", known.remedy},
               {"limits", known.limits}})
             .dump(2) +
         "\n";
}

std::string_view words_of(Certainty certainty) {
  switch (certainty) {
    case Certainty::kSource:
      return "kernel source";
    case Certainty::kBinary:
      return "released kernels";
    case Certainty::kReproduced:
      return "reproduced";
    case Certainty::kChangelog:
      return "changelog";
    case Certainty::kPublic:
      return "published";
    case Certainty::kExpert:
      return "expert knowledge, not checked";
    case Certainty::kUnknown:
      break;
  }
  return "not known";
}

std::string basis_of(Certainty certainty, std::string_view source) {
  return fmt::format("[{}{}{}]", words_of(certainty), source.empty() ? "" : ": ", source);
}

void render_facts(TextWriter& out, std::string_view title, const std::vector<KnownFact>& facts) {
  if (facts.empty()) return;
  out.heading(title);
  for (const KnownFact& fact : facts)
    out.field("-", Text{{fact.text + " "}, {basis_of(fact.certainty, fact.source), Style::kFaint}}, 2, 2);
}

void render_lines(TextWriter& out, std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out.heading(title);
  for (const std::string& line : lines) out.field("-", line, 2, 2);
}

void render(TextWriter& out, const RuleList& list) {
  for (const bool rules : {true, false}) {
    size_t widest = 0;
    for (const Subject& subject : list.subjects)
      if (subject.is_rule == rules) widest = std::max(widest, subject.id.size());
    if (rules)
      out.heading("Rules", "they decide from the state in the dump; perfcore rules ID tells more");
    else
      out.heading("Catalogue", "recognised by the symptom: never more than possible");
    for (const Subject& subject : list.subjects)
      if (subject.is_rule == rules)
        out.field(subject.id, Text{{subject.title + ". ", Style::kStrong}, {subject.knowledge.summary + "."}},
                  widest + 2, 2);
  }
}

void render(TextWriter& out, const Subject& subject) {
  const RuleKnowledge& known = subject.knowledge;
  out.paragraph(Text{{subject.id + ": " + subject.title, Style::kStrong}});
  out.paragraph(known.summary + ".");
  render_facts(out, "Symptoms", known.symptoms);
  render_facts(out, "What happens", known.mechanism);
  if (!known.evidence.empty()) {
    out.heading("Evidence", "with its weight in the score, which ranks and never lifts a verdict");
    for (const EvidenceKind& kind : known.evidence)
      out.field(kind.weight == 0 ? "" : fmt::format("+{}", kind.weight),
                Text{{fmt::format("{}: ", to_string(kind.role)),
                      kind.role == EvidenceRole::kContradicts ? Style::kWarn : Style::kPlain},
                     {std::string(kind.claim) + " "},
                     {basis_of(kind.certainty, kind.source), Style::kFaint}},
                4, 2);
  }
  if (!known.look_alikes.empty()) {
    out.heading("Look-alikes", "and how they are told apart");
    for (const KnownLookAlike& other : known.look_alikes)
      out.field("-", Text{{other.title + ": ", Style::kStrong}, {other.told_apart_by}}, 2, 2);
  }
  render_facts(out, "Kernels", known.kernels);
  if (!known.commits.empty()) {
    out.heading("Culprit, fix and references");
    for (const KnownCommit& commit : known.commits)
      out.field("-",
                Text{{fmt::format("{} {}", commit.reference.kind, commit.reference.id), Style::kStrong},
                     {fmt::format(" {}; releases: {} ", commit.reference.title, commit.releases)},
                     {basis_of(commit.certainty, commit.source), Style::kFaint}},
                2, 2);
  }
  render_lines(out, "What to do", known.remedy);
  render_lines(out, "Limits", known.limits);
}

}  // namespace

int run_rules(Session& session) {
  const auto& arguments = session.options().arguments;
  if (arguments.size() > 1)
    throw UsageError(fmt::format("too many arguments after {}: \"{}\"", arguments[0], arguments[1]));
  std::vector<Subject> subjects = all_subjects();
  if (arguments.empty()) {
    session.answer(RuleList{std::move(subjects)});
    return kExitDone;
  }
  const std::string& id = arguments.front();
  const auto found = std::find_if(subjects.begin(), subjects.end(), [&](const Subject& subject) {
    return strcasecmp(subject.id.c_str(), id.c_str()) == 0;
  });
  if (found == subjects.end())
    throw UsageError(fmt::format("there is no rule \"{}\"; the nearest are {}", id, nearest(subjects, id)));
  session.answer(*found);
  return kExitDone;
}

}  // namespace perfcore::cli
