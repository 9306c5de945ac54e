package sandbox
import ("testing";"math/rand";"fmt";"strings";"os/exec";"bytes";"time")
func q(s string) string { var b strings.Builder; b.WriteByte('"'); for i:=0;i<len(s);i++ {fmt.Fprintf(&b,"\\%03d",s[i])}; b.WriteByte('"'); return b.String()}
func pick(r *rand.Rand, set []string, n int) string { var b strings.Builder; for i:=r.Intn(n+1);i>0;i-- {b.WriteString(set[r.Intn(len(set))])}; return b.String()}
const prelude = `
local function show(v) if type(v)=="string" then return "s:"..v:gsub("[^%w]", function(c) return "%"..c:byte() end) elseif type(v)=="number" then return string.format("%.10g",v) else return tostring(v) end end
local function T(f, ...) local r = {pcall(f, ...)} if not r[1] then print("ERR") return end
 local o = {} for i=2,#r do o[#o+1]=show(r[i]) end print(table.concat(o," ")) end
local function G(...) local o={} local n=0 for a,b in string.gmatch(...) do n=n+1 if n>40 then break end o[#o+1]=show(a)..show(b) end return table.concat(o,",") end
local function R(a, b) return "<"..tostring(a)..","..tostring(b)..">" end
local tab = {a="AA", b=1, c=false, ["1"]="one"}
`
func TestDiff(t *testing.T) {
 r := rand.New(rand.NewSource(time.Now().UnixNano()))
 texts := []string{"a","b","c","ab","(",")"," ","1","2","-",".","A","\xff","]","[","%","^","$"}
 pats := []string{"a","b","c","ab",".","%a","%d","%s","%w","%A","%W","[ab]","[^a]","[a-c]","[%a-]","[]]","[^]]","[a%]b]","*","+","-","?","(",")","()","%b()","%1","%2","^","$","%%","%f[%a]","%f[^b]","[%w_]","[0-9a]","%x","%p","%u","%l","%c","%z","[","]","%","-","[a-]","[-a]","[%d-x]"}
 repls := []string{"x","%0","%1","%2","%%","","<",">","%a"}
 fmts := []string{"%d","%5d","%-5d|","%05d","%+d","% d","%x","%X","%o","%e","%.3f","%10.2f","%g","%G","%.10g","%s","%10s","%-10s|","%.2s","%q","%c","%i","%u","%%","%5.1f","%+.1e","%3c|","%.0f","%.d","%.3d","%8.3d"}
 var lines []string
 for i:=0;i<4000;i++ {
  text:=q(pick(r,texts,8)); pat:=q(pick(r,pats,5)); init:=""
  if r.Intn(3)==0 {init=fmt.Sprintf(", %d", r.Intn(14)-6)}
  switch r.Intn(9) {
  case 0: lines=append(lines,fmt.Sprintf("T(string.find, %s, %s%s)",text,pat,init))
  case 1: lines=append(lines,fmt.Sprintf("T(string.match, %s, %s%s)",text,pat,init))
  case 2: if strings.HasPrefix(pat,`"\094`) {continue}; lines=append(lines,fmt.Sprintf("T(G, %s, %s)",text,pat))
  case 3: n:=""; if r.Intn(3)==0 {n=fmt.Sprintf(", %d",r.Intn(4))}; lines=append(lines,fmt.Sprintf("T(string.gsub, %s, %s, %s%s)",text,pat,q(pick(r,repls,3)),n))
  case 4: lines=append(lines,fmt.Sprintf("T(string.gsub, %s, %s, tab)",text,pat))
  case 5: lines=append(lines,fmt.Sprintf("T(string.gsub, %s, %s, R)",text,pat))
  case 6: lines=append(lines,fmt.Sprintf("T(string.%s, %s, %d, %d)",[]string{"sub","byte"}[r.Intn(2)],text,r.Intn(20)-10,r.Intn(20)-10))
  case 7: lines=append(lines,fmt.Sprintf("T(string.%s, %s, %d)",[]string{"sub","rep","upper","lower","reverse","len","byte"}[r.Intn(7)],text,r.Intn(12)-4))
  case 8: f:=fmts[r.Intn(len(fmts))]; arg:=[]string{"0","1","-1","3.7","-42.5","255","1e6","123456789","1e20","0.1","1e-7","65"}[r.Intn(12)]
    if strings.ContainsAny(f,"sq") {arg=text}
    if strings.ContainsAny(f, "c") {arg="65"}
    if strings.ContainsAny(f,"dioxXu") && strings.Contains(arg,"1e20") {arg="12"}
    if strings.ContainsAny(f,"q") {arg=`"a\\b\"\n\0001"`}
    lines=append(lines,fmt.Sprintf("T(string.format, %s, %s)",q(f),arg))
  }
 }
 script:=prelude+strings.Join(lines,"\n")+"\n"
 cmd:=exec.Command("/tmp/lua51/root/usr/bin/lua5.1","-"); cmd.Stdin=strings.NewReader(script)
 out,err:=cmd.Output(); if err!=nil {t.Fatal(err)}
 var got bytes.Buffer
 s:=New(Config{Print: func(x string){got.WriteString(x+"\n")}, CallBudget: 1<<40, CallDeadline: time.Hour})
 for i:=0;i<len(lines);i+=1000 {
  fn,err:=s.Load("x.lua",[]byte(prelude+strings.Join(lines[i:min(i+1000,len(lines))],"\n"))); if err!=nil {t.Fatal(err)}
  if _,err:=s.Call(fn,0); err!=nil {t.Fatal(err)}
 }
 a:=strings.Split(string(out),"\n"); b:=strings.Split(got.String(),"\n")
 if len(a)!=len(b) {t.Fatal(len(a),len(b))}
 bad:=0
 for i:=range lines { if a[i]!=b[i] && !(b[i]=="ERR" && strings.Contains(lines[i],`\040`)) { bad++; if bad<40 {t.Errorf("%s\n lua  %s\n ours %s",lines[i],a[i],b[i])}}}
 t.Log(len(lines),"cases", bad,"differ")
}
