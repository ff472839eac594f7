// What the scans' kernels move through shared memory (shared_traffic.h): a thread leaves there what its piece of time
// makes of a state, and goes through all pieces of its round. Lanes beyond the last channel do so too.
#include "zoo/gpu/diagonal_scan.h"
#include "zoo/gpu/diagonal_scan_selective.h"
#include "zoo/gpu/diagonal_scan_wkv.h"

namespace zoo::gpu {

namespace {

constexpr double lanes = 32;

// Of a block of a scan.
struct Rounds {
  double blocks, threads, pieces;
  double all_pieces;  // of the whole time, of which each round has as many as the block has warps
  double rounds;

  Rounds(const LaunchShape& shape, std::int64_t length, std::int64_t steps_a_piece)
      : blocks(static_cast<double>(shape.blocks)),
        threads(shape.threads),
        pieces(threads / lanes),
        all_pieces(static_cast<double>(blocks_of(length, steps_a_piece))),
        rounds(static_cast<double>(blocks_of(blocks_of(length, steps_a_piece), shape.threads / 32))) {}

 private:
  static std::int64_t blocks_of(std::int64_t count, std::int64_t size) { return (count + size - 1) / size; }
};

// Of one n of a selective scan's states: a factor and a sum of each piece, and the state that goes to the next round,
// which a piece's lanes write and all read.
double states_traffic(const Rounds& scan) {
  if (scan.rounds == 0) return 0;
  return scan.rounds * (scan.threads * 2 * (1 + scan.pieces) + lanes) + (scan.rounds - 1) * scan.threads;
}

double channels_of(std::int64_t batch, std::int64_t channels) {
  return static_cast<double>(batch) * static_cast<double>(channels);
}

}  // namespace

double diagonal_scan_traffic(const cpu::ScanSizes& sizes) {
  const Rounds scan(diagonal_scan_kernel(sizes), sizes.length, diagonal_scan_piece);
  return sizeof(float) * scan.blocks * scan.rounds * scan.threads * 2 * (1 + scan.pieces);
}

double selective_scan_forward_traffic(const cpu::SelectiveScanSizes& sizes) {
  const Rounds scan(selective_scan_forward_kernel(sizes), sizes.length, cpu::SelectiveScanSizes::chunk);
  return sizeof(float) * scan.blocks * static_cast<double>(sizes.state) * states_traffic(scan);
}

double selective_scan_backward_traffic(const cpu::SelectiveScanSizes& sizes) {
  const Rounds scan(selective_scan_backward_kernel(sizes), sizes.length, cpu::SelectiveScanSizes::chunk);
  const auto state = static_cast<double>(sizes.state);
  // The sums of A's gradients: 0 at first, and added to in each round; D's, once.
  const double sums = scan.threads * (state * (1 + 2 * scan.rounds) + 1);
  const double of_blocks = scan.blocks * (state * states_traffic(scan) + sums);
  // Both are added up over the pieces, of the channels that are there.
  const double read = channels_of(sizes.batch, sizes.channels) * scan.pieces * (state + 1);
  return sizeof(float) * (of_blocks + (scan.blocks > 0 ? read : 0));
}

double wkv_forward_traffic(const cpu::ScanSizes& sizes) {
  const Rounds scan(wkv_forward_kernel(sizes), sizes.length, cpu::wkv_chunk);
  // Three sums of each piece. Of those that have steps all are read, and the exponent twice.
  return sizeof(float) * scan.blocks * scan.threads * (3 * scan.rounds + 4 * scan.all_pieces);
}

double wkv_backward_traffic(const cpu::ScanSizes& sizes) {
  const Rounds scan(wkv_backward_kernel(sizes), sizes.length, cpu::wkv_chunk);
  // Four numbers of each piece; in the first round what the last state's exponent was given; the sums of w's gradients
  // and of u's.
  const double last_state = scan.rounds > 0 ? lanes + scan.threads : 0;
  const double of_block = scan.rounds * scan.threads * 4 * (1 + scan.pieces) + last_state + 2 * scan.threads;
  // The first piece of a channel that is there adds up the others' sums.
  const double read = channels_of(sizes.batch, sizes.channels) * 2 * (scan.pieces - 1);
  return sizeof(float) * (scan.blocks * of_block + read);
}

}  // namespace zoo::gpu
