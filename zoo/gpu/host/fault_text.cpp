#include "zoo/gpu/host/fault_text.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <link.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace zoo::gpu::host {

namespace {

// The symbol at `offset` in a module's full symbol table, which has local functions too, unlike what dladdr() reads.
std::string symbol_in_file(const char* path, std::uint64_t offset) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return "";
  std::string name;
  elf_version(EV_CURRENT);
  Elf* elf = elf_begin(file, ELF_C_READ, nullptr);
  for (Elf_Scn* section = elf_nextscn(elf, nullptr); section != nullptr; section = elf_nextscn(elf, section)) {
    GElf_Shdr header;
    if (gelf_getshdr(section, &header) == nullptr || header.sh_entsize == 0) continue;
    if (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM) continue;
    Elf_Data* data = elf_getdata(section, nullptr);
    for (int i = 0; i < static_cast<int>(header.sh_size / header.sh_entsize); ++i) {
      GElf_Sym symbol;
      if (gelf_getsym(data, i, &symbol) == nullptr || symbol.st_value != offset) continue;
      if (GELF_ST_TYPE(symbol.st_info) != STT_FUNC) continue;
      if (const char* found = elf_strptr(elf, header.sh_link, symbol.st_name)) name = found;
    }
  }
  elf_end(elf);
  close(file);
  return name;
}

// "zoo::gpu::f<float>(float*, int)" without its parameters, its return type and "(anonymous namespace)::".
std::string short_name(std::string name) {
  const std::string anonymous = "(anonymous namespace)::";
  for (auto at = name.find(anonymous); at != std::string::npos; at = name.find(anonymous))
    name.erase(at, anonymous.size());
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (name[i] == '<') ++depth;
    if (name[i] == '>') --depth;
    if (depth == 0 && name[i] == ' ') begin = i + 1;
    if (depth == 0 && name[i] == '(') return name.substr(begin, i - begin);
  }
  return name;
}

}  // namespace

std::string text(Site site) {
  const char* slash = std::strrchr(site.file, '/');
  return fmt::format("{}:{}", slash == nullptr ? site.file : slash + 1, site.line);
}

std::string function_name(const void* function) {
  Dl_info module;
  link_map* map = nullptr;
  if (dladdr1(function, &module, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 || map == nullptr)
    return fmt::format("{}", function);
  const auto offset = reinterpret_cast<std::uintptr_t>(function) - map->l_addr;
  const char* path = *map->l_name == '\0' ? "/proc/self/exe" : map->l_name;
  std::string name = symbol_in_file(path, offset);
  if (name.empty()) return fmt::format("{}", function);
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status),
                                                     std::free);
  return short_name(status == 0 ? plain.get() : name);
}

}  // namespace zoo::gpu::host
