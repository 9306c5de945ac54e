-- Lists that have no end, or as good as none.
local t = {}; t[1] = t
fw.set "itself" (t) --! set "itself": lists are nested deeper than 16
---
local t = {}; for i = 1, 100 do t[i] = t end
fw.set "itself" (t) --! set "itself": lists are nested deeper than 16
input { "a", src = t, drop } --! rule "a": src: lists are nested deeper than 16
input { "b", tcp = t, drop } --! rule "b": tcp: lists are nested deeper than 16
fw.protect(t) --! fw.protect: lists are nested deeper than 16
---
local t = { "192.0.2.1" }; for _ = 1, 12 do local u = {}; for i = 1, 50 do u[i] = t end; t = u end
fw.set "wide" (t) --! set "wide": lists in lists hold more than 1048576 items
