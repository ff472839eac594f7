#pragma once

#include <string>
#include <string_view>

namespace zoo::report {

/// What gnuplot's terminal `svg` wrote, as the content of an <svg> element of a page: no prolog, ids that begin with
/// `id`, and the page's colours where the script named the colours that stand for them (200+s,0,0 for series s, 1,1,1
/// for ink, 2,2,2 for the grid). Throws Error where there is no drawing.
std::string page_svg(std::string_view document, std::string_view id);

}  // namespace zoo::report
