#include <zoo/core/options.h>
#include <zoo/core/version.h>

#include <cstdio>

int main() {
  const zoo::Options options(zoo::OptionSchema().integer("heads", 1, {1, 8}, "heads"), {{"heads", "2"}}, "program");
  std::printf("zoo %s, heads %d\n", zoo::version, static_cast<int>(options.integer("heads")));
}
