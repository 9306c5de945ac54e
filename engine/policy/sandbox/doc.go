// Package sandbox runs a Lua policy that is trusted but buggy: nothing it does
// can hang, crash or bloat the process, or read outside its own folder.
//
// The language is gopher-lua's Lua 5.1 (with goto) and the libraries base,
// table, string and math, less what could leave the sandbox. Names are strict:
// an unknown name is an error when the file is loaded, and a global cannot be
// defined.
//
// Every file is checked as a syntax tree before it is compiled, and rewritten in
// three places: operators that could take any time or memory become calls of
// bounded functions (operators.go), and what gopher-lua v1.1.2 is known to
// compile wrong becomes something that it compiles right (guard.go, fold.go).
// At run time a meter counts instructions, and the work of library functions in
// the same coin; it looks at the clock and at the heap now and then.
//
// Some of gopher-lua's own ways are left as they are: arithmetic reads strings
// as Go does ("010"+0 is 8, "1_000"+0 is 1000) where tonumber reads decimals
// ("010" is 10, "1e3" is nil), numbers are 64-bit floats, and there are no
// integers, no // and no bit operators. A key set to nil still costs its table
// some memory until the table itself is gone.
package sandbox
