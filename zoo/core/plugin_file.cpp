#include "zoo/core/plugin_file.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <exception>
#include <memory>
#include <string_view>

#include "zoo/core/registrar.h"

namespace zoo {

namespace {

constexpr std::string_view give_a_plugin = "give a shared library built with zoo_add_plugin";
constexpr std::string_view build_again = "build it again against the installed zoo, with the same kind of compiler";

class ElfFile {
 public:
  explicit ElfFile(const std::string& path) {
    // Without O_NONBLOCK, a named pipe would wait for a writer for ever.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor_ < 0) throw UsageError("cannot be opened: {}; {}", std::strerror(errno), give_a_plugin);
    struct stat status {};
    if (::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode)) {
      size_ = static_cast<std::uint64_t>(status.st_size);
      elf_version(EV_CURRENT);
      elf_.reset(elf_begin(descriptor_, ELF_C_READ, nullptr));
    }
    if (elf_ == nullptr || elf_kind(elf_.get()) != ELF_K_ELF || gelf_getehdr(elf_.get(), &header_) == nullptr) {
      elf_.reset();
      ::close(descriptor_);
      throw UsageError("is not a shared library; {}", give_a_plugin);
    }
  }
  ~ElfFile() {
    elf_.reset();
    ::close(descriptor_);
  }
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  Elf* get() const { return elf_.get(); }
  const GElf_Ehdr& header() const { return header_; }
  std::uint64_t size() const { return size_; }

 private:
  struct End {
    void operator()(Elf* elf) const { elf_end(elf); }
  };
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
  std::unique_ptr<Elf, End> elf_;
  GElf_Ehdr header_{};
};

bool fits(std::uint64_t offset, std::uint64_t size, std::uint64_t file) {
  return offset <= file && size <= file - offset;
}

void check_machine(const ElfFile& file) {
  const ElfFile self("/proc/self/exe");
  const GElf_Ehdr& ours = self.header();
  const GElf_Ehdr& theirs = file.header();
  if (theirs.e_machine != ours.e_machine || theirs.e_ident[EI_CLASS] != ours.e_ident[EI_CLASS] ||
      theirs.e_ident[EI_DATA] != ours.e_ident[EI_DATA]) {
    throw UsageError("is for another kind of processor; {}", build_again);
  }
  if (theirs.e_type != ET_DYN) throw UsageError("is not a shared library; {}", give_a_plugin);
}

/// The stamps among the notes of one program segment: one from each compiled source. Calls check for each.
template <typename Check>
bool for_each_stamp(Elf_Data* data, const Check& check) {
  bool found = false;
  GElf_Nhdr note;
  std::size_t name = 0;
  std::size_t description = 0;
  for (std::size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &description)) > 0;) {
    const char* bytes = static_cast<const char*>(data->d_buf);
    if (std::string_view(bytes + name, note.n_namesz) != std::string_view("zoo", 4) || note.n_type != 1) continue;
    PluginStamp stamp;
    if (note.n_descsz != sizeof(stamp)) throw UsageError("was built for another zoo; {}", build_again);
    std::memcpy(&stamp, bytes + description, sizeof(stamp));
    stamp.compiler[sizeof(stamp.compiler) - 1] = '\0';
    stamp.version[sizeof(stamp.version) - 1] = '\0';
    check(stamp);
    found = true;
  }
  return found;
}

/// "0.1" of "0.1.3": releases with the same one have the same library name and interface.
std::string_view release_series(std::string_view release) {
  return release.substr(0, release.rfind('.'));
}

void check_stamp(const PluginStamp& stamp) {
  if (stamp.abi != plugin_abi) {
    throw UsageError("was built for plugin interface {} (zoo {}), and this is zoo {} with interface {}; {}", stamp.abi,
                     stamp.version, version, plugin_abi, build_again);
  }
  if (stamp.compiler != compiler_abi) {
    throw UsageError("was built with compiler ABI '{}', and this zoo with '{}'; {}", stamp.compiler, compiler_abi,
                     build_again);
  }
  if (release_series(stamp.version) != release_series(version)) {
    throw UsageError("was built for zoo {}, and this is zoo {}; {}", stamp.version, version, build_again);
  }
}

}  // namespace

void check_plugin_stamp(const std::string& path) {
  const ElfFile file(path);
  check_machine(file);
  const GElf_Ehdr& header = file.header();
  std::size_t segments = 0;
  bool whole = elf_getphdrnum(file.get(), &segments) == 0 &&
               fits(header.e_shoff, std::uint64_t{header.e_shnum} * header.e_shentsize, file.size()) &&
               fits(header.e_phoff, std::uint64_t{header.e_phnum} * header.e_phentsize, file.size());
  bool stamped = false;
  for (std::size_t i = 0; whole && i < segments; ++i) {
    GElf_Phdr segment;
    whole = gelf_getphdr(file.get(), static_cast<int>(i), &segment) != nullptr &&
            fits(segment.p_offset, segment.p_filesz, file.size());
    if (!whole || segment.p_type != PT_NOTE) continue;
    const Elf_Type type = segment.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR;
    Elf_Data* data =
        elf_getdata_rawchunk(file.get(), static_cast<std::int64_t>(segment.p_offset), segment.p_filesz, type);
    if (data != nullptr) stamped |= for_each_stamp(data, check_stamp);
  }
  if (!whole) throw UsageError("is cut short or damaged; copy or build it again");
  if (!stamped) throw UsageError("is a shared library, but not a zoo plugin: it has no stamp; {}", give_a_plugin);
}

void open_plugin(const std::string& path) {
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    throw UsageError("cannot be loaded: {}; build it again against the installed zoo and the libraries it needs",
                     ::dlerror());
  }
  void* symbol = ::dlsym(library, plugin_entries_symbol);
  if (symbol == nullptr) {
    throw UsageError("does not export {}; include zoo/core/plugin.h and build it with zoo_add_plugin",
                     plugin_entries_symbol);
  }
  const auto [begin, end] = reinterpret_cast<PluginEntriesFunction>(symbol)();
  if (begin == end) throw UsageError("registers nothing; use ZOO_REGISTER_LAYER or ZOO_REGISTER_TASK in it");
  try {
    register_entries({begin, end});
  } catch (const std::exception& error) {
    throw UsageError("failed while registering: {}", error.what());
  }
}

}  // namespace zoo
