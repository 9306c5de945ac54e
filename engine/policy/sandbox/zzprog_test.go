package sandbox
import ("testing";"math/rand";"fmt";"strings";"os/exec";"bytes";"time")
type gen struct { r *rand.Rand; b strings.Builder; loops int; fdepth int; inloop int }
func (g *gen) v() string { return []string{"a","b","c","d","s"}[g.r.Intn(5)] }
func (g *gen) e(d int) string {
 if d<=0 { switch g.r.Intn(9) { case 0: return "1"; case 1: return `"x"`; case 2: return "nil"; case 3: return "true"; case 4: return "false"; case 5: return "t[1]"; case 6: return "t.k"; default: return g.v() } }
 switch g.r.Intn(13) {
 case 0: return "("+g.nl(d)+" and "+g.nl(d)+")"
 case 1: return "("+g.nl(d)+" or "+g.nl(d)+")"
 case 2: return "not "+g.e(d-1)
 case 3: return "add("+g.e(d-1)+", "+g.e(d-1)+")"
 case 4: return "(two("+g.e(d-1)+"))"
 case 5: return "two("+g.e(d-1)+", "+g.e(d-1)+")"
 case 6: return "S("+g.e(d-1)+") .. S("+g.e(d-1)+")"
 case 7: return "("+g.e(d-1)+" == "+g.e(d-1)+")"
 case 8: return "N("+g.e(d-1)+") + N("+g.e(d-1)+")"
 case 9: return "N("+g.e(d-1)+") < N("+g.e(d-1)+")"
 case 10: return "#{"+g.e(d-1)+", "+"two("+g.e(d-1)+")}"
 case 11: return "(select('#', two("+g.e(d-1)+")))"
 default: return g.e(0) }
}
func (g *gen) nl(d int) string { return g.e(d-1) }
func (g *gen) stmts(n, d int) { for i:=0;i<n;i++ { g.stmt(d) } }
func (g *gen) p(f string, a ...any) { fmt.Fprintf(&g.b, f+"\n", a...) }
func (g *gen) stmt(d int) {
 k:=g.r.Intn(26); if d<=0 {k=g.r.Intn(7)}
 switch k {
 case 0: g.p("%s = %s", g.v(), g.e(2))
 case 1: v1, v2 := g.v(), g.v(); if v1==v2 {return}; g.p("%s, %s = %s, %s", v1, v2, g.e(2), g.e(1))
 case 2: g.p("t[N(%s)+1], %s = %s, %s", g.e(1), g.v(), g.e(1), g.e(1))
 case 3: g.p("out(%s)", g.e(2))
 case 4: g.p("t[N(%s)+1] = %s", g.v(), g.e(2))
 case 5: g.p("%s = (two(%s))", g.v(), g.v())
 case 6: g.p("t.k = %s", g.e(2))
 case 7,8: g.p("if %s then", g.e(2)); g.stmts(1+g.r.Intn(2),d-1); if g.r.Intn(2)==0 {g.p("elseif %s then",g.e(1)); g.stmts(1,d-1)}; if g.r.Intn(2)==0 {g.p("else"); g.stmts(1,d-1)}; g.p("end")
 case 9: g.loops++; n:=g.loops; g.p("do local i%d = 0 while true do i%d = i%d + 1 if i%d > 3 then break end", n,n,n,n); g.inloop++; g.stmts(1+g.r.Intn(2),d-1); g.inloop--; g.p("end end")
 case 10: g.loops++; n:=g.loops; g.p("do local i%d = 0 repeat i%d = i%d + 1", n,n,n); g.inloop++; g.stmts(1+g.r.Intn(2),d-1); g.inloop--; g.p("until i%d > 2 or %s end", n, g.e(1))
 case 11: g.p("for i = 1, %d do", g.r.Intn(4)); g.inloop++; g.stmts(1+g.r.Intn(2),d-1); g.inloop--; g.p("out(i) end")
 case 12: g.p("do local %s = %s", g.v(), g.e(1)); g.stmts(1,d-1); g.p("end")
 case 13: fi:=g.inloop; g.inloop=0; g.p("do local f = function(a, s) local c = %s", g.e(1)); g.stmts(2,d-1); g.p("return %s end out(f(%s, %s)) end", g.e(2), g.e(1), g.e(1)); g.inloop=fi
 case 14: if g.inloop>0 { g.p("if %s then break end", g.e(1)) } else { g.p("out(%s)", g.e(1)) }
 case 15: fi:=g.inloop; g.inloop=0; g.p("do local fs = {} for i = 1, 3 do local %s = i fs[i] = function() ", g.v()); g.stmts(1,d-1); g.p("return i, %s end end out(fs[1]()) out(fs[3]()) end", g.v()); g.inloop=fi
 case 16: g.p("while %s do out('w') ; if true then break end end", []string{"false","true","nil",g.e(1)}[g.r.Intn(4)])
 case 18: fi:=g.inloop; g.inloop=0; g.p("do local f = function(a, ...) local b, c = ..."); g.stmts(1,d-1); g.p("return %s, ... end out(f(%s, %s)) out((f(%s, two(%s)))) end", g.e(1), g.e(1), g.e(1), g.e(1), g.e(1)); g.inloop=fi
 case 19: g.p("for k, v in ipairs({%s, %s, two(%s)}) do", g.e(1), g.e(1), g.e(1)); g.inloop++; g.stmts(1,d-1); g.inloop--; g.p("out(k, v) end")
 case 20: fi:=g.inloop; g.inloop=0; g.p("do local o = {x = %s} function o:m(s) ", g.e(1)); g.stmts(1,d-1); g.p("self.x = %s s = (self.x) return s, self.x end %s = o:m(%s) out(o.x, o:m(%s)) end", g.e(1), g.v(), g.e(1), g.e(1)); g.inloop=fi
 case 21: g.p("for i = 4, 1, -%d do", 1+g.r.Intn(2)); g.inloop++; g.stmts(1,d-1); g.inloop--; g.p("end")
 case 22: fi:=g.inloop; g.inloop=0; g.p("do local u = %s local get, set = function() return u end, function(v)", g.e(1)); g.stmts(1,d-1); g.p("u = %s u = v and %s end set(%s) out(get()) end", g.e(2), g.e(1), g.e(1)); g.inloop=fi
 case 23: g.p("do local n = 0 repeat local x = n n = n + 1 local f = function() return x, %s end out(f())", g.v()); g.inloop++; g.stmts(1,d-1); g.inloop--; g.p("until x > 1 end")
 case 24: g.p("out(pcall(function()"); fi:=g.inloop; g.inloop=0; g.stmts(1,d-1); g.p("return %s end))", g.e(2)); g.inloop=fi
 case 25: g.p("%s = (\"%%s:%%s\"):format(S(%s), S(%s)):gsub(\"%%w\", {x = \"y\"})", g.v(), g.e(1), g.e(1))
 case 17: g.p("out(({%s, [2]=%s, k=%s})[1])", g.e(1),g.e(1),g.e(1))
 }
}
const progPrelude = `
local function S(v) return tostring(v) end
local function N(v) if type(v)=="number" then return v % 7 elseif v then return 2 end return 0 end
local count = 0
local function out(...) count = count + 1 if count > 200 then return end local r = {} for i=1,select("#",...) do local x = select(i,...) if type(x)=="table" or type(x)=="function" then x = type(x) end r[i]=tostring(x) end print(table.concat(r,",")) end
local function add(x,y) return N(x)+N(y) end
local function two(x,y) return x, y or 5 end
local a,b,c,d,s,t = 1,2,"c",nil,"s",{}
`
func TestProg(t *testing.T) {
 seed:=time.Now().UnixNano()
 bad:=0; best:=""; bl:=0
 for i:=0;i<4000;i++ {
  g:=&gen{r:rand.New(rand.NewSource(seed+int64(i)))}
  g.stmts(3+g.r.Intn(8),2+g.r.Intn(3))
  script:=progPrelude+g.b.String()+"\nout(a,b,c,d,s)"
  cmd:=exec.Command("/tmp/lua51/root/usr/bin/lua5.1","-"); cmd.Stdin=strings.NewReader(script)
  out,err:=cmd.CombinedOutput()
  _=err
  if strings.Contains(string(out),"lua5.1:") { continue }
  var got bytes.Buffer
  s:=New(Config{Print: func(x string){got.WriteString(x+"\n")}})
  fn,err:=s.Load("x.lua",[]byte(script)); if err!=nil {t.Log(err); continue}
  _,err=s.Call(fn,0)
  if err!=nil { got.WriteString(err.Error()) }
  if got.String()!=string(out) { bad++; m := fmt.Sprintf("seed %d\n%s\n--- lua\n%s--- ours\n%s", seed+int64(i), g.b.String(), out, got.String()); if best=="" || len(g.b.String())<bl {best=m; bl=len(g.b.String())} }
  s.Close()
 }
 if best!="" {t.Error(bad,best)}
}
