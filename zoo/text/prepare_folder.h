#pragma once

#include <map>
#include <string>

namespace zoo {

/// The folder that a corpus is made in, locked against other processes while this lives.
class PrepareFolder {
 public:
  /// Makes the folder, or takes one that is empty or holds a corpus, finished or not. Throws UsageError for anything
  /// else, when another process holds it, and when it cannot be made.
  explicit PrepareFolder(const std::string& path);
  /// Removes the folder when it was made here and is not to be kept.
  ~PrepareFolder();
  PrepareFolder(const PrepareFolder&) = delete;
  PrepareFolder& operator=(const PrepareFolder&) = delete;

  void keep() { is_kept_ = true; }
  /// Forgets what was begun and is no more than a record of settings that turned out to be wrong.
  void forget_record();
  bool is_finished() const;
  void remove_progress() const;

 private:
  void check_content() const;

  std::string path_;
  bool is_new_ = false;  // made here
  bool is_kept_ = false;
  int lock_ = -1;
};

/// Throws UsageError, naming the folder and the option, when a corpus was begun with other settings.
void check_settings(const std::map<std::string, std::string>& begun, const std::map<std::string, std::string>& given,
                    const std::string& folder);

}  // namespace zoo
