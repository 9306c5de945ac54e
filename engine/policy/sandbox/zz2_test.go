package sandbox
import ("testing";lua "github.com/yuin/gopher-lua")
func TestZ2(t *testing.T){
 for _, src := range []string{
`local function two(x) return x, 5 end local c
for k, v in ipairs({1, (1 == false)}) do print(k) end two(1)`,
`local function two(x) return x, 5 end local c
for k, v in ipairs({1, (1 == false)}) do while nil do print('w') end print(k) end two(1)`,
`local function two(x) return x, 5 end local c
for k, v in ipairs({1, 2}) do while nil do print('w') end print(k) end two(1)`,
`local function two(x) return x, 5 end local c
for k, v in ipairs({1, 2}) do while nil do print('w') if true then break end end print(k) end two(1)`,
`local function two(x) return x, 5 end local c
for k, v in ipairs({1, 2}) do if false then print('w') end print(k) end two(1)`,
`local function two(x) return x, 5 end local c
for i = 1, 2 do if false then print('w') end print(i) end two(1)`,
`local function two(x) return x, 5 end local c
local i = 0 while i < 2 do if false then print('w') end i = i + 1 print(i) end two(1)`,
 }{
 println(src)
 L:=lua.NewState()
 fn, err := L.LoadString(src)
 if err!=nil {t.Fatal(err)}
 L.Push(fn)
 if err:=L.PCall(0,0,nil); err!=nil {t.Log(src, err.(*lua.ApiError).Object)
  t.Log(fn.Proto.String())
 break}
 }
}
