#include <zoo/core/plugin.h>
