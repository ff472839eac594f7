#pragma once

#include <boost/program_options.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zoo {

/// Reads a command's arguments. Names are not guessed from their beginnings: a typo is told, with the name that was
/// likely meant. `positional` names an option, not shown in help, that takes what stands without a name. Throws
/// UsageError, with the command's name ("zoo forward"), for anything that is not understood and for an option given
/// twice that may be given once.
boost::program_options::variables_map read_arguments(std::string_view command,
                                                     const boost::program_options::options_description& options,
                                                     std::span<const std::string> arguments,
                                                     const char* positional = nullptr);

/// Adds the options that say where and how this process computes, for others that do the same.
void add_device(std::vector<std::string>& words);

/// The command that began with these words, {"zoo", "lm", "train"}, as the user can type it again: with this process's
/// plugins and device.
std::string command_line(std::vector<std::string> words, std::span<const std::string> arguments);

}  // namespace zoo
