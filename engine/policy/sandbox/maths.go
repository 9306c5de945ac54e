package sandbox

import (
	"math"
	"math/rand/v2"

	lua "github.com/yuin/gopher-lua"
)

// mathFunctions are the random numbers. gopher-lua's use and seed the generator
// of the whole process.
func (s *State) mathFunctions() functions {
	source := rand.NewPCG(rand.Uint64(), rand.Uint64())
	random := rand.New(source)
	return functions{
		"random": func(L *lua.LState) int {
			from, to := 1.0, 0.0
			switch L.GetTop() {
			case 0:
				L.Push(lua.LNumber(random.Float64()))
				return 1
			case 1:
				to = float64(L.CheckNumber(1))
			default:
				from, to = float64(L.CheckNumber(1)), float64(L.CheckNumber(2))
			}
			from, to = math.Floor(from), math.Floor(to)
			if !(from <= to) || math.IsInf(to-from, 0) {
				L.ArgError(L.GetTop(), "interval is empty")
			}
			L.Push(lua.LNumber(from + math.Floor(random.Float64()*(to-from+1))))
			return 1
		},
		"randomseed": func(L *lua.LState) int {
			source.Seed(math.Float64bits(float64(L.CheckNumber(1))), 0)
			return 0
		},
	}
}
