// SPDX-License-Identifier: LGPL-2.1-or-later
#include "addr.h"

#include <fmt/format.h>

#include <stdexcept>

#include "commands.h"
#include "exit_codes.h"
#include "json_value.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {
namespace {

Json to_json_value(const AddressFact& fact) {
  Json fields = Json::object();
  for (const auto& [name, value] : fact.fields) {
    if (const auto* mask = std::get_if<uint64_t>(&value))
      fields[name] = hex(*mask);
    else
      std::visit([&, &field = name](const auto& plain_value) { fields[field] = plain_value; }, value);
  }
  return {{"kind", fact.kind}, {"words", fact.words}, {"fields", fields}};
}

}  // namespace

AddressesReport make_address_report(Kernel& kernel, const std::vector<std::string>& expressions) {
  AddressesReport report;
  AddressBook book(kernel);
  for (const std::string& expression : expressions) {
    AddressAnswer answer{expression, std::nullopt, {}, {}};
    const Reading<uint64_t> address = address_of_expression(kernel, expression);
    if (address.has_value()) {
      AddressReport described = book.describe(*address);
      answer.address = *address;
      answer.facts = std::move(described.facts);
      answer.unread = std::move(described.unread);
    } else {
      answer.unread.push_back(address.unread());
    }
    report.addresses.push_back(std::move(answer));
  }
  return report;
}

std::string to_json(const AddressesReport& report) {
  Json addresses = Json::array();
  for (const AddressAnswer& answer : report.addresses) {
    Json facts = Json::array();
    for (const AddressFact& fact : answer.facts) facts.push_back(to_json_value(fact));
    addresses.push_back({{"expression", answer.expression},
                         {"address", hex(answer.address)},
                         {"facts", facts},
                         {"unread", cli::to_json_value(answer.unread)}});
  }
  return dump({{"schema", "perfcore.addr/1"}, {"addresses", addresses}});
}

void render(TextWriter& out, const AddressesReport& report) {
  std::vector<Unread> unread;
  for (const AddressAnswer& answer : report.addresses) {
    const std::string address = answer.address ? fmt::format("{:#x}", *answer.address) : "not read";
    const bool same = answer.address && (answer.expression == address || "0x" + answer.expression == address);
    const std::string title = same ? address : fmt::format("{} = {}", answer.expression, address);
    for (size_t i = 0; i < answer.facts.size(); i++) {
      const AddressFact& fact = answer.facts[i];
      if (i == 0)
        out.paragraph(Text{{title + ": ", Style::kStrong}, {fact.words}}, 0, 2);
      else
        out.paragraph(fact.words, 2, 2);
    }
    if (answer.facts.empty()) out.paragraph(Text{{title, Style::kStrong}}, 0, 2);
    unread.insert(unread.end(), answer.unread.begin(), answer.unread.end());
  }
  render_unread(out, unread);
}

int run_addr(Session& session) {
  const auto& arguments = session.options().arguments;
  const auto kernel = session.open({arguments.front()});
  try {
    session.answer(make_address_report(*kernel, {arguments.begin() + 1, arguments.end()}));
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  return kExitDone;
}

}  // namespace perfcore::cli
