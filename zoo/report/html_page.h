#pragma once

#include <string>

namespace zoo::report {

/// Sections of a page, each with its title and a link to it in the navigation.
class Sections {
 public:
  /// `content` is HTML; without any the section is left out.
  void add(const std::string& id, const std::string& title, const std::string& content, int heading = 2);
  /// Sections of their own under one title; `name` is what the filter finds them by.
  void add_part(const std::string& id, const std::string& title, const std::string& name, const Sections& sections);

  const std::string& html() const { return html_; }
  std::string navigation() const;

 private:
  std::string html_;
  std::string links_;
};

/// A page that stands alone. `header`, `main`, `footer` are HTML, `script` JavaScript or "".
std::string html_page(const std::string& title, const std::string& header, const std::string& main,
                      const std::string& footer, const std::string& script = "");

}  // namespace zoo::report
