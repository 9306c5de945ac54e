fw.feed "a" { url = "http://lists.example.org/drop.txt" } --! feed "a": "http://lists.example.org/drop.txt" can be changed by anybody on the way: write https, or http = true if that must be
fw.feed "b" { url = "drop.txt" } --! feed "b": "drop.txt" is no address of a list: write it as "https://lists.example.org/drop.txt"
fw.feed "c" { file = "../drop.txt" } --! feed "c": file: "../drop.txt" is neither a whole path nor a name inside the policy's folder
fw.feed "c2" { file = "./drop.txt" } --! feed "c2": file: "./drop.txt" is neither a whole path nor a name inside the policy's folder
fw.feed "c3" { file = { "drop.txt" } } --! feed "c3": file: a text is expected, not a table
fw.feed "d" {} --! feed "d": it needs either a url or a file
fw.feed "e" { url = "https://x/y", file = "/x" } --! feed "e": it needs either a url or a file
fw.feed "f" { ulr = "https://x/y" } --! unknown field "ulr" in feed "f" (did you mean "url"?)
fw.feed "g" { url = "https://x/y", every = "5s" } --! feed "g": every: 5s is too often: at most every 1m0s
fw.feed "h" { url = "https://x/y", format = "cdir" } --! feed "h": format: "cdir" is not possible (did you mean "cidr"?): it is one of plain, cidr, json
fw.feed "i" { url = "https://x/y", sanity = { shrink = "half" } } --! sanity: shrink: a percentage from "0%" to "100%" is expected, not "half"
fw.feed "j" { url = "https://x/y", max = 0 } --! feed "j": max: a whole number from 1 to 1048576 is expected, not the number 0
fw.feed "k" --! feed "k" is named but never filled: write fw.feed "drop" { url = "https://lists.example.org/drop.txt" }
---
local drop = fw.feed "l" { url = "https://x/y" }
fw.set "m" { drop } --! set "m": the feed "l" changes by itself, so only the kernel knows what it holds: ask for it in a rule
fw.protect { drop } --! fw.protect: the feed "l" changes by itself, so only the kernel knows what it holds: ask for it in a rule
