#include "zoo/cpu/rope.h"

#include "zoo/gpu/rope.h"
#include "zoo/ops/dispatch.h"
#include "zoo/ops/op_cases.h"
#include "zoo/ops/ops.h"

namespace zoo::ops {

namespace {

// Rotary positions (Su et al. 2021, "RoFormer"). Inputs: x [..., rows, heads, d], cosines and sines [rows, d/2], which
// are constants.
class Rope final : public FusedOp {
 public:
  explicit Rope(bool interleaved) : interleaved_(interleaved) {}
  std::string_view name() const override { return "rope"; }

  Tensors fallback(std::span<const Tensor> inputs) override {
    const Tensor& x = inputs[0];
    const std::int64_t pairs = x.dim(-1) / 2;
    // Each pair's two channels, with the axis that tells them apart moved out of the way.
    const int pair_axis = interleaved_ ? -1 : -2;
    const Tensor paired =
        reshape(x, interleaved_ ? Shape{x.size() / x.dim(-1), pairs, 2} : Shape{x.size() / x.dim(-1), 2, pairs});
    const Shape channel = x.shape().with(-1, pairs);
    const Tensor first = reshape(slice(paired, pair_axis, 0, 1), channel);
    const Tensor second = reshape(slice(paired, pair_axis, 1, 2), channel);
    const Tensor cosines = reshape(inputs[1], {inputs[1].dim(0), 1, pairs});
    const Tensor sines = reshape(inputs[2], {inputs[2].dim(0), 1, pairs});
    const Tensor turned_first = first * cosines - second * sines;
    const Tensor turned_second = second * cosines + first * sines;
    if (!interleaved_) return {concat({turned_first, turned_second}, -1)};
    const Shape last{x.size() / x.dim(-1), pairs, 1};
    return {reshape(concat({reshape(turned_first, last), reshape(turned_second, last)}, -1), x.shape())};
  }

  Tensors forward(std::span<const Tensor> inputs) override { return {turned(inputs[0], inputs, false)}; }

  // Turning back is turning's transpose.
  Tensors backward(const Executed& executed) override {
    return {turned(executed.output_grad(), executed.inputs, true), Tensor{}, Tensor{}};
  }

 private:
  Tensor turned(const Tensor& x, std::span<const Tensor> inputs, bool inverse) const {
    const Tensor& cosines = inputs[1];
    const Tensor& sines = inputs[2];
    const cpu::RopeExtents extents{.rows = x.size() / (x.dim(-1) * x.dim(-2)),
                                   .table_rows = cosines.dim(0),
                                   .heads = x.dim(-2),
                                   .pairs = x.dim(-1) / 2};
    Tensor y = Tensor::empty(x.shape(), x.dtype());
    dispatch(x.dtype(), name(), [&](auto at) {
      if constexpr (at.gpu) {
        gpu::rope(extents, at(x), at(cosines), at(sines), interleaved_, inverse, at(y), at.stream());
      } else {
        cpu::rope(extents, at(x), at(cosines), at(sines), interleaved_, inverse, at(y));
      }
    });
    return y;
  }

  bool interleaved_;
};

void check_rope(const Tensor& x, int rank, std::string_view axes) {
  check_real(x, "rope");
  if (x.rank() != rank || x.dim(-1) % 2 != 0) {
    throw Error("rope takes x {} with even d, it was given {}", axes, x.shape().str());
  }
}

// By positions i32 [rows], or where these are undefined by those that the options name.
Tensor turn_rows(const Tensor& x, std::int64_t rows, const RopeOptions& options, const Tensor& positions) {
  if (x.size() == 0) return x;
  const std::int64_t pairs = x.dim(-1) / 2;
  Tensor cosines = Tensor::empty({rows, pairs}, x.dtype());
  Tensor sines = Tensor::empty({rows, pairs}, x.dtype());
  dispatch(x.dtype(), "rope", [&](auto at) {
    const std::int32_t* given = at.template of<std::int32_t>(positions);
    if constexpr (at.gpu) {
      gpu::rope_table({given, options.first, options.period}, rows, pairs, options.base, at(cosines), at(sines),
                      at.stream());
    } else {
      PoolVector<std::int64_t> of_rows(static_cast<std::size_t>(rows));
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t position = options.first + row;
        of_rows[static_cast<std::size_t>(row)] = given != nullptr     ? given[row]
                                                 : options.period > 0 ? position % options.period
                                                                      : position;
      }
      cpu::rope_table(of_rows.data(), rows, pairs, options.base, at(cosines), at(sines));
    }
  });
  return apply_one(std::make_unique<Rope>(options.interleaved), {x, cosines, sines});
}

}  // namespace

Tensor rope(const Tensor& x, const RopeOptions& options) {
  check_rope(x, 4, "[B,T,H,d]");
  return turn_rows(x, x.dim(1), options, {});
}

Tensor rope(const Tensor& x, const Tensor& positions, const RopeOptions& options) {
  check_rope(x, 3, "[R,H,d]");
  if (!positions.defined() || positions.dtype() != DType::i32 || positions.shape() != Shape{x.dim(0)}) {
    throw Error("rope of {} takes positions i32 [{}]", x.shape().str(), x.dim(0));
  }
  return turn_rows(x, x.dim(0), options, positions);
}

namespace {

OpCase rope_case(std::string name, Shape shape, RopeOptions options) {
  return {.name = std::move(name), .inputs = {{.shape = shape}}, .call = [options](std::span<const Tensor> inputs) {
            return Tensors{rope(inputs[0], options)};
          }};
}

OpCase rope_rows_case(std::string name, Shape shape, RopeOptions options) {
  return {.name = std::move(name),
          .inputs = {{.shape = shape}, {.shape = {shape[0]}, .kind = InputSpec::Kind::index, .bound = 50}},
          .call = [options](std::span<const Tensor> inputs) { return Tensors{rope(inputs[0], inputs[1], options)}; }};
}

const OpRegistration registration(
    {.name = "rope",
     .cases = {rope_case("rotate halves", {2, 5, 3, 16}, {}),
               rope_case("odd number of pairs", {1, 4, 2, 38}, {.base = 500}),
               rope_case("interleaved", {2, 3, 1, 10}, {.interleaved = true}),
               rope_case("later positions", {1, 3, 2, 4}, {.first = 40000}),
               rope_case("period", {1, 7, 1, 4}, {.first = 2, .period = 4}), rope_rows_case("rows", {5, 2, 8}, {}),
               rope_rows_case("interleaved rows", {4, 1, 6}, {.interleaved = true}),
               rope_case("empty", {2, 0, 3, 4}, {}), rope_rows_case("no rows", {0, 2, 4}, {})}});

}  // namespace

}  // namespace zoo::ops
