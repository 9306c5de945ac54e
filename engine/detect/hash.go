package detect

import (
	"math/bits"
	"math/rand/v2"
)

// seed is the secret of a hash, so that nobody can choose addresses or ports
// whose hashes are the same.
type seed [3]uint64

func newSeed() seed { return seed{rand.Uint64(), rand.Uint64(), rand.Uint64()} }

// hash is wyhash of an address, which stays in registers. For hash/maphash its bytes
// would have to be written to memory and read again as a whole, for which the
// processor waits until all it wrote before is in the cache: long, in a flood.
func (s *seed) hash(a address) uint64 {
	return mix(s[2], mix(a.hi^s[0], a.lo^s[1]))
}

// mix multiplies and folds the product.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}
