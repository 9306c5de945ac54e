package sandbox

import (
	"io/fs"
	"sync"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Config says what a policy may use. The zero value of a field means its default.
type Config struct {
	// Files is the policy's folder, the only thing that a policy can read. Pass
	// the FS of an os.Root, which symbolic links cannot leave. Default: no files.
	Files fs.FS

	// LoadBudget and CallBudget are the Lua instructions (about 8 ns each) that
	// a load and one call of a handler may execute. Library functions pay for
	// the work that they do in the same coin. Defaults: 100,000,000 and 1,000,000.
	LoadBudget, CallBudget int64

	// LoadDeadline and CallDeadline bound the time of a load and of one call.
	// They are looked at every 256 instructions, and are there for what the
	// budget cannot see. Defaults: 30 s and 1 s.
	LoadDeadline, CallDeadline time.Duration

	// HeapLimit bounds the live Go heap of the whole process, in bytes, while a
	// policy runs; near it the garbage is collected often. Default: 512 MiB.
	HeapLimit uint64

	// Print receives what a policy prints, one text per call, without a newline.
	// Default: print is an error that points to fw.log.
	Print func(text string)

	// Undefined says, behind a colon, what an undefined name most likely stands
	// for; "" leaves it to the nearest name. Default: "" for all.
	Undefined func(name string) string

	// Now is the clock of the deadlines. Default: time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	setDefault(&c.LoadBudget, 100_000_000)
	setDefault(&c.CallBudget, 1_000_000)
	setDefault(&c.LoadDeadline, 30*time.Second)
	setDefault(&c.CallDeadline, time.Second)
	setDefault(&c.HeapLimit, 512<<20)
	if c.Undefined == nil {
		c.Undefined = func(string) string { return "" }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

func setDefault[T int64 | uint64 | time.Duration](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

// State is one sandbox with one policy in it. Not safe for concurrent use: all
// its methods, and everything Lua, belong to one goroutine at a time.
type State struct {
	cfg     Config
	lua     *lua.LState
	meter   *meter
	idle    []*lua.LState
	current *lua.LState // the stack that runs now
	nested  int         // protected calls that run now, one inside the other

	onCaught         *lua.LFunction // handler of errors
	trace, traceFile string         // of the last error that ended a call
	traceLine        int

	provided map[string]lua.LValue
	shapes   map[string]*Shape // of what is provided
	misspelt []*Error
	modules  map[string]lua.LValue // files that ran, by module name
	loading  []string              // modules that run now, the entry first; empty after the load
	files    map[string][]byte
	read     int                           // bytes in files
	chunks   map[string]*lua.FunctionProto // code by file; nil if it could not be compiled
	sealed   map[*lua.LTable]*lua.LTable   // views and what they show
	raised   *Error                        // the last error of a file, as it went into Lua
}

// limitArrays lowers how far an integer key can stretch the array part of a
// table: t[67108863] = true would take 1 GiB. gopher-lua knows this limit only
// as a package variable, so it is set once, before the first state is made. Not
// lower, because # and ipairs stop there in a longer list.
var limitArrays = sync.OnceFunc(func() { lua.MaxArrayIndex = 1 << 20 })

// New makes a sandbox.
func New(cfg Config) *State {
	limitArrays()
	s := &State{
		cfg:      cfg.withDefaults(),
		provided: map[string]lua.LValue{},
		shapes:   map[string]*Shape{},
		modules:  map[string]lua.LValue{},
		files:    map[string][]byte{},
		chunks:   map[string]*lua.FunctionProto{},
		sealed:   map[*lua.LTable]*lua.LTable{},
	}
	s.lua = lua.NewState(lua.Options{
		SkipOpenLibs:     true,
		RegistrySize:     1 << 10,
		RegistryMaxSize:  1 << 17,
		RegistryGrowStep: 4096,
	})
	s.meter = newMeter(s.cfg, func() (string, int) { return s.Where(0) })
	s.openLibraries()
	s.lua.SetContext(s.meter)
	s.current = s.lua
	s.onCaught = s.lua.NewFunction(s.caught)
	return s
}

// L is the Lua state, for building modules: values made with it belong to s. A
// module function must use the state that it gets as an argument, because
// protected calls run on stacks of their own. Lua code runs through Run and Call
// only.
func (s *State) L() *lua.LState { return s.lua }

// Close frees the state. No other method may be called after it.
func (s *State) Close() {
	if !s.lua.IsClosed() {
		s.lua.Close()
	}
}

// Run loads and runs the entry file of a policy, a slash-separated name in its
// folder, under the load budget; a Run inside a running one spends the outer
// budget. The error is an *Error.
func (s *State) Run(entry string) error {
	src, err := s.ReadFile(entry)
	if err != nil {
		return &Error{Msg: err.Error(), cause: err}
	}
	fn, err := s.Load(entry, src)
	if err != nil {
		return err
	}
	s.loading = append(s.loading, moduleName(entry))
	defer func() { s.loading = s.loading[:len(s.loading)-1] }()
	if s.nested == 0 {
		s.meter.arm(s.cfg.LoadBudget, s.cfg.LoadDeadline)
	}
	return s.run(s.Begin(fn))
}

// Call calls a function of the policy under the call budget and returns nret
// values, or all of them for lua.MultRet. A Call inside a running one, from a
// module function, spends the budget of the outer one. The error is an *Error.
func (s *State) Call(fn *lua.LFunction, nret int, args ...lua.LValue) ([]lua.LValue, error) {
	st := s.Begin(fn)
	for _, a := range args {
		st.Push(a)
	}
	s.arm()
	if err := s.call(st, nret); err != nil {
		return nil, err
	}
	defer s.done(st)
	n := st.GetTop()
	if n == 0 {
		return nil, nil
	}
	ret := make([]lua.LValue, n)
	for i := range ret {
		ret[i] = st.Get(i + 1)
	}
	return ret, nil
}

// Begin returns the stack of a call of fn, for its arguments to be pushed on.
// Nothing else may be called before End, which makes the call.
func (s *State) Begin(fn *lua.LFunction) *lua.LState {
	st := s.stack()
	st.Push(fn)
	return st
}

// End is a Call without results, of arguments that never were anywhere but on
// the stack. It allocates nothing of its own.
func (s *State) End(st *lua.LState) error {
	s.arm()
	return s.run(st)
}

// arm gives a call the call budget, unless it is inside another.
func (s *State) arm() {
	if s.nested == 0 {
		s.meter.arm(s.cfg.CallBudget, s.cfg.CallDeadline)
	}
}

// run makes a call without results.
func (s *State) run(st *lua.LState) error {
	err := s.call(st, 0)
	if err == nil {
		s.done(st)
	}
	return err
}

// call makes a call that was begun. The error is an *Error.
func (s *State) call(st *lua.LState, nret int) error {
	if s.nested >= maxNested {
		return &Error{Msg: "calls nested too deeply"}
	}
	if err := s.unprotected(st, st.GetTop()-1, nret); err != nil || s.meter.err != nil {
		return s.explain(err)
	}
	return nil
}

// Suspend puts the running call aside, for a module function that waits for
// something: until it calls resume, others may call s. What it waits costs the
// call nothing. The goroutine that suspended the call is the one to resume it;
// whoever uses s from several sees to it that they take turns.
func (s *State) Suspend() (resume func()) {
	current, nested, resumeMeter := s.current, s.nested, s.meter.suspend()
	s.current, s.nested = s.lua, 0
	return func() {
		resumeMeter()
		s.current, s.nested = current, nested
	}
}

// Where is the file and line of the Lua function at a level of the call stack,
// counted as by Lua's error: in a module function, 1 is its caller. Go functions
// on the way are skipped. Beyond the outermost function it is that one's; without
// any Lua function, it is "" and 0.
func (s *State) Where(level int) (file string, line int) {
	for l, found := level, true; found; l++ {
		if file, line, found = functionAt(s.current, l); file != "" {
			return file, line
		}
	}
	if level > 0 {
		return s.Where(level - 1)
	}
	return "", 0
}

// functionAt is where the function at a level of a stack is now; a Go function
// is nowhere.
func functionAt(L *lua.LState, level int) (file string, line int, found bool) {
	frame, found := L.GetStack(level)
	if !found {
		return "", 0, false
	}
	if _, err := L.GetInfo("Sl", frame, lua.LNil); err != nil || frame.Source == "" {
		return "", 0, true
	}
	return frame.Source, frame.CurrentLine, true
}
