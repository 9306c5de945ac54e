fw.geo { country = "GeoLite2-Country.mmdb" } --! fw.geo: country: "GeoLite2-Country.mmdb" is no whole path: write it as "/var/lib/GeoIP/GeoLite2-Country.mmdb"
---
fw.geo { contry = "/x" } --! unknown field "contry" in fw.geo (did you mean "country"?)
---
fw.set "far" { country = "CN" } --! set "far": no database tells that: name it before, as in fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }
---
fw.geo { country = "/nothere/GeoLite2-Country.mmdb" }
fw.set "far" { country = "CN" } --! set "far": country database: stat /nothere/GeoLite2-Country.mmdb: no such file or directory
---
fw.geo { country = "/etc/hostname" } --! fw.geo: country database /etc/hostname: it is no MaxMind database, or it is cut off: error opening database: invalid MaxMind DB file
---
fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }
fw.geo { asn = "/var/lib/GeoIP/GeoLite2-ASN.mmdb" } --! fw.geo is called twice, and a policy names its databases once
fw.set "a" { country = { "CN", "china" } } --! set "a": country: "china" is no country code: two capital letters are, such as "CN"
fw.set "b" { country = "ZZ" } --! set "b": the database has no addresses of the country ZZ
fw.set "c" { asn = 64500 } --! set "c": no database is named that tells networks: name it in fw.geo
fw.set "d" { 80, country = "CN" } --! set "d": it holds ports, and countries and networks have addresses
fw.set "e" { country = "CN", dynamic = true } --! set "e": countries and networks fill only a set of addresses that nothing else changes
fw.set "f" { asn = "x" } --! set "f": asn: a whole number from 1 to 4294967295 is expected, not "x"
fw.on(closed, { fields = { "asn" } }, function(asn) end) --! the filter of fw.on: fields: ev.asn needs a database: fw.geo { asn = "/path/of/it.mmdb" }
