#pragma once

namespace zoo::report {

/// A box for words: of the elements with data-name only those are shown whose name, with the data-part of the part
/// they are in, holds every word; a part without such an element is hidden. It is invisible until the script runs, so
/// that a page without JavaScript shows everything and no box.
extern const char* const filter_box;
/// The script behind it, for a <script> at the end of the page.
extern const char* const filter_script;

}  // namespace zoo::report
