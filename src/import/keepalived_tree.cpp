#include "import/keepalived_tree.hpp"

namespace clusterd::imports {

namespace {

struct Token {
  std::string text;
  int line = 0;
  bool brace = false;  // "{" or "}", unquoted
  bool ends = false;   // the last one of its line
};

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> tokens;
  for (const Line& line : lines_of(text, false)) {
    const size_t before = tokens.size();
    // Braces stand alone, whatever they touch; quoted ones do not count.
    std::string spaced;
    char quote = 0;
    for (const char c : line.text) {
      if (quote == 0 && (c == '"' || c == '\'')) {
        quote = c;
      } else if (c == quote) {
        quote = 0;
      }
      if (quote == 0 && (c == '{' || c == '}')) {
        spaced += {' ', c, ' '};
      } else {
        spaced += c;
      }
    }
    for (std::string& word : words_of(spaced, "!#")) {
      if (word.empty()) continue;
      const bool brace = word == "{" || word == "}";
      tokens.push_back({std::move(word), line.number, brace, false});
    }
    if (tokens.size() > before) tokens.back().ends = true;
  }
  return tokens;
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, Finder& finder) : tokens_(std::move(tokens)), finder_(finder) {}

  // Until the closing brace, or the end.
  std::vector<Statement> block(size_t depth) {
    std::vector<Statement> statements;
    while (at_ < tokens_.size() && count_ < kMaxStatements) {
      const Token& token = tokens_[at_];
      if (token.brace && token.text == "}") {
        if (depth > 0) return statements;  // the caller takes it
        finder_.left(token.line, "a closing brace without an opening one", "");
        ++at_;
        continue;
      }
      if (token.brace) {  // a block that belongs to the statement before, on a line of its own
        open(statements, depth);
        continue;
      }
      statements.push_back(statement());
      if (at_ < tokens_.size() && tokens_[at_].brace && tokens_[at_].text == "{") open(statements, depth);
    }
    if (count_ >= kMaxStatements) {
      finder_.left(0, "the file has too many statements: the rest was not read", "import it in parts");
      at_ = tokens_.size();
    }
    return statements;
  }

 private:
  Statement statement() {
    ++count_;
    Statement one;
    one.line = tokens_[at_].line;
    while (at_ < tokens_.size() && !tokens_[at_].brace) {
      const bool ends = tokens_[at_].ends;
      if (one.words.size() < kMaxWords) one.words.push_back(tokens_[at_].text);
      ++at_;
      if (ends) break;
    }
    return one;
  }

  void open(std::vector<Statement>& statements, size_t depth) {
    const int line = tokens_[at_].line;
    ++at_;
    if (statements.empty() || depth + 1 >= kMaxDepth) {
      finder_.left(line, statements.empty() ? "a block without a name" : "blocks are nested too deeply", "");
      skip();
      return;
    }
    std::vector<Statement> children = block(depth + 1);
    if (at_ < tokens_.size()) {
      ++at_;  // the closing brace
    } else {
      finder_.left(line, "this block is not closed", "");
    }
    statements.back().children = std::move(children);
  }

  void skip() {  // to the end of a block that nobody wants
    for (size_t open = 1; at_ < tokens_.size() && open > 0; ++at_) {
      if (!tokens_[at_].brace) continue;
      if (tokens_[at_].text == "{") ++open;
      if (tokens_[at_].text == "}") --open;
    }
  }

  std::vector<Token> tokens_;
  Finder& finder_;
  size_t at_ = 0;
  size_t count_ = 0;
};

}  // namespace

std::vector<Statement> parse_keepalived(std::string_view text, Finder& finder) {
  return Parser(tokens_of(text), finder).block(0);
}

}  // namespace clusterd::imports
