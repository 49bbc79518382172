// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <array>
#include <stdexcept>

#include "perfcore/kernel.h"
#include "perfcore/object.h"

namespace perfcore {
namespace {

/// Parentheses, casts and operators deeper than this are no expression that a person writes.
constexpr int kMaxNesting = 100;

/// Recursive descent over C's expression grammar, evaluating as it parses.
class Parser {
 public:
  Parser(Kernel& kernel, std::string_view text) : kernel_(kernel), text_(text) {}

  Object parse() {
    Object result = binary(0);
    skip_space();
    if (at_ < text_.size()) error("unexpected '" + std::string(1, text_[at_]) + "'");
    return result;
  }

 private:
  [[noreturn]] void error(const std::string& what) const {
    throw std::invalid_argument(fmt::format("not an expression:\n  {}\n  {}^ column {}: {}", text_,
                                            std::string(at_, ' '), at_ + 1, what));
  }

  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) at_++;
  }

  bool accept(std::string_view token) {
    skip_space();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) error(fmt::format("expected '{}'", token));
  }

  static bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
  static bool is_name(char c) { return is_name_start(c) || std::isdigit(static_cast<unsigned char>(c)); }

  std::string_view peek_name() {
    skip_space();
    size_t end = at_;
    if (end < text_.size() && is_name_start(text_[end]))
      while (end < text_.size() && is_name(text_[end])) end++;
    return text_.substr(at_, end - at_);
  }

  std::string_view name() {
    const std::string_view found = peek_name();
    if (found.empty()) error("expected a name");
    at_ += found.size();
    return found;
  }

  /// A C type name as in a cast: "struct perf_event *", "unsigned long", "u64 *".
  const Type* type_name() {
    skip_space();
    const size_t start = at_;
    bool tagged = false;
    while (true) {
      const std::string_view word = peek_name();
      if (word.empty()) break;
      const bool is_tag = word == "struct" || word == "union" || word == "enum";
      at_ += word.size();
      if (!is_tag && (tagged || !is_integer_word(word))) break;
      tagged = tagged || is_tag;
    }
    while (accept("*")) {
    }
    const std::string_view spelled = text_.substr(start, at_ - start);
    const Type* type = kernel_.type(spelled);
    if (!type) error(fmt::format("no type '{}' in {}", spelled, kernel_.types().source()));
    return type;
  }

  static bool is_integer_word(std::string_view word) {
    static constexpr std::array kWords = {"unsigned", "signed", "int",   "long",
                                          "short",    "char",   "const", "volatile"};
    for (std::string_view candidate : kWords)
      if (candidate == word) return true;
    return false;
  }

  /// Does a type name follow, so that a parenthesis is a cast?
  bool is_type_next() {
    const std::string_view word = peek_name();
    if (word.empty()) return false;
    if (word == "struct" || word == "union" || word == "enum" || word == "void" || word == "_Bool" ||
        is_integer_word(word))
      return true;
    if (kernel_.symbols().find(word)) return false;
    return kernel_.type(word) != nullptr;
  }

  Object unread(UnreadReason reason, std::string path, std::string detail) {
    return Object::of_unread(kernel_, {reason, 0, std::move(path), std::move(detail)});
  }

  int cpu_argument() {
    const size_t start = at_;
    const Object cpu = binary(0);
    const Reading<uint64_t> number = cpu.u64();
    if (!number.has_value() || *number > INT32_MAX) {
      at_ = start;
      error("expected a CPU number");
    }
    return static_cast<int>(*number);
  }

  Object primary() {
    skip_space();
    if (at_ >= text_.size()) error("expression ends here");
    if (++nesting_ > kMaxNesting) error(fmt::format("nested deeper than {}", kMaxNesting));
    const Object result = [&] {
      if (accept("(")) {
        if (is_type_next()) {
          const Type* type = type_name();
          expect(")");
          return unary().cast(type);
        }
        Object inner = binary(0);
        expect(")");
        return inner;
      }
      if (std::isdigit(static_cast<unsigned char>(text_[at_]))) return number();
      const std::string_view word = name();
      if (word == "per_cpu") {
        expect("(");
        const std::string_view variable = name();
        expect(",");
        const int cpu = cpu_argument();
        expect(")");
        return kernel_.per_cpu(variable, cpu);
      }
      if (word == "per_cpu_ptr") {
        expect("(");
        const Object pointer = binary(0);
        expect(",");
        const int cpu = cpu_argument();
        expect(")");
        return pointer.per_cpu_ptr(cpu).address_of();
      }
      if (word == "container_of") {
        expect("(");
        const Object pointer = binary(0);
        expect(",");
        skip_space();
        const size_t start = at_;
        type_name();
        const std::string_view type = text_.substr(start, at_ - start);
        expect(",");
        skip_space();
        const size_t member = at_;
        while (at_ < text_.size() && (is_name(text_[at_]) || text_[at_] == '.')) at_++;
        const std::string_view path = text_.substr(member, at_ - member);
        expect(")");
        return pointer.container_of(type, path).address_of();
      }
      if (word == "sizeof") {
        expect("(");
        const uint64_t size = is_type_next() ? type_name()->size : size_of(binary(0));
        expect(")");
        return kernel_.constant(size);
      }
      return kernel_.variable(word);
    }();
    nesting_--;
    return result;
  }

  static uint64_t size_of(const Object& object) { return object.type() ? object.type()->size : 0; }

  Object number() {
    const std::string digits(text_.substr(at_, 20));
    char* end = nullptr;
    errno = 0;
    const uint64_t value = std::strtoull(digits.c_str(), &end, 0);
    if (errno) error("number does not fit in 64 bits");
    at_ += static_cast<size_t>(end - digits.c_str());
    // Signed where C has it so, for `counter < 0` to mean what it says; int and long make no difference here.
    bool is_unsigned = value > INT64_MAX;
    for (; at_ < text_.size() && std::string_view("uUlL").find(text_[at_]) != std::string_view::npos; at_++)
      is_unsigned |= text_[at_] == 'u' || text_[at_] == 'U';
    if (at_ < text_.size() && is_name(text_[at_])) error("expected a number");
    return kernel_.constant(value, is_unsigned ? "unsigned long" : "long");
  }

  Object postfix() {
    Object here = primary();
    while (true) {
      if (accept("->") || accept(".")) {
        here = here.member(name());
      } else if (accept("[")) {
        const Object index = binary(0);
        expect("]");
        const Reading<int64_t> i = index.s64();
        here = i.has_value() ? here.index(*i) : Object::of_unread(kernel_, i.unread());
      } else {
        return here;
      }
    }
  }

  Object unary() {
    skip_space();
    if (++nesting_ > kMaxNesting) error(fmt::format("nested deeper than {}", kMaxNesting));
    const Object result = [&] {
      if (accept("*")) return unary().deref();
      if (accept("&")) return unary().address_of();
      for (const char op : {'-', '!', '~'}) {
        if (!accept(std::string_view(&op, 1))) continue;
        const Object operand = unary();
        const Reading<int64_t> value = operand.s64();
        if (!value.has_value()) return Object::of_unread(kernel_, value.unread());
        const uint64_t bits = static_cast<uint64_t>(*value);
        const uint64_t negated = op == '-' ? -bits : op == '!' ? bits == 0 : ~bits;
        return of_number(negated,
                         op == '!'   ? "int"
                         : op == '-' ? "long"
                                     : "unsigned long",
                         op + operand.expression());
      }
      return postfix();
    }();
    nesting_--;
    return result;
  }

  Object of_number(uint64_t value, std::string_view type, std::string expression) {
    return Object::of_value(kernel_, kernel_.type(type), value, std::move(expression));
  }

  struct Operator {
    std::string_view token;
    int precedence;
  };
  /// Longer tokens before their prefixes.
  static constexpr Operator kOperators[] = {
      {"||", 1}, {"&&", 2}, {"==", 6}, {"!=", 6}, {"<<", 8}, {">>", 8}, {"<=", 7}, {">=", 7}, {"|", 3},
      {"^", 4},  {"&", 5},  {"<", 7},  {">", 7},  {"+", 9},  {"-", 9},  {"*", 10}, {"/", 10}, {"%", 10},
  };

  const Operator* next_operator() {
    skip_space();
    for (const Operator& op : kOperators)
      if (text_.substr(at_).starts_with(op.token)) return &op;
    return nullptr;
  }

  Object binary(int minimum) {
    if (++nesting_ > kMaxNesting) error(fmt::format("nested deeper than {}", kMaxNesting));
    Object left = unary();
    while (const Operator* op = next_operator()) {
      if (op->precedence <= minimum) break;
      at_ += op->token.size();
      const Object right = binary(op->precedence);
      left = apply(*op, left, right);
    }
    nesting_--;
    return left;
  }

  /// Arrays in arithmetic stand for a pointer to their first element.
  static Object decay(const Object& object) {
    const bool is_array =
        object.type() && object.type()->strip() && object.type()->strip()->kind == TypeKind::kArray;
    return is_array ? object.index(0).address_of() : object;
  }

  Object apply(const Operator& op, const Object& left_operand, const Object& right_operand) {
    const Object left = decay(left_operand);
    const Object right = decay(right_operand);
    const std::string expression = fmt::format("({} {} {})", left.expression(), op.token, right.expression());
    const Reading<int64_t> a = left.s64();
    const Reading<int64_t> b = right.s64();
    if (!a.has_value()) return Object::of_unread(kernel_, a.unread());
    // As in C, what decides alone needs no right side: `p != 0 && p->member` holds or not for every p.
    if ((op.token == "&&" && *a == 0) || (op.token == "||" && *a != 0))
      return of_number(*a != 0, "int", expression);
    if (!b.has_value()) return Object::of_unread(kernel_, b.unread());
    const auto x = static_cast<uint64_t>(*a);
    const auto y = static_cast<uint64_t>(*b);
    const Type* type = left.type()->strip();
    if (type->kind == TypeKind::kPointer && (op.token == "+" || op.token == "-") && type->target()) {
      const uint64_t size = std::max<uint64_t>(type->target()->size, 1);
      return Object::of_value(kernel_, left.type(), op.token == "+" ? x + y * size : x - y * size,
                              expression);
    }
    if ((op.token == "/" || op.token == "%") && y == 0)
      return unread(UnreadReason::kUnsupported, expression, "division by zero");
    // C's usual conversions, reduced to what matters here: comparisons are signed only if both operands are.
    const bool is_signed = is_signed_type(type) && is_signed_type(right.type()->strip());
    const auto compare = [&](auto f) { return is_signed ? f(*a, *b) : f(x, y); };
    uint64_t value = 0;
    std::string_view result = is_signed ? "long" : "unsigned long";
    if (op.token == "+") {
      value = x + y;
    } else if (op.token == "-") {
      value = x - y;
    } else if (op.token == "*") {
      value = x * y;
    } else if (op.token == "/") {
      value = is_signed && *b != -1 ? static_cast<uint64_t>(*a / *b) : is_signed ? -x : x / y;
    } else if (op.token == "%") {
      value = is_signed && *b != -1 ? static_cast<uint64_t>(*a % *b) : is_signed ? 0 : x % y;
    } else if (op.token == "<<") {
      value = y < 64 ? x << y : 0;
    } else if (op.token == ">>") {
      value = y < 64 ? (is_signed ? static_cast<uint64_t>(*a >> y) : x >> y) : 0;
    } else if (op.token == "&") {
      value = x & y;
    } else if (op.token == "|") {
      value = x | y;
    } else if (op.token == "^") {
      value = x ^ y;
    } else {
      result = "int";
      if (op.token == "==") value = x == y;
      if (op.token == "!=") value = x != y;
      if (op.token == "<") value = compare([](auto p, auto q) { return p < q; });
      if (op.token == ">") value = compare([](auto p, auto q) { return p > q; });
      if (op.token == "<=") value = compare([](auto p, auto q) { return p <= q; });
      if (op.token == ">=") value = compare([](auto p, auto q) { return p >= q; });
      if (op.token == "&&") value = x && y;
      if (op.token == "||") value = x || y;
    }
    return of_number(value, result, expression);
  }

  static bool is_signed_type(const Type* type) {
    return type->kind != TypeKind::kPointer &&
           (type->encoding == IntEncoding::kSigned || type->encoding == IntEncoding::kChar);
  }

  Kernel& kernel_;
  std::string_view text_;
  size_t at_ = 0;
  int nesting_ = 0;
};

}  // namespace

Object evaluate(Kernel& kernel, std::string_view expression) {
  return Parser(kernel, expression).parse();
}

}  // namespace perfcore
