package bench

import "path/filepath"

// start measures the start of the process beside that of a program that says hello.
func start(b *bench) {
	put(b.dir, "hello.go", "package main\n\nfunc main() { println(\"hello\") }\n")
	hello := filepath.Join(b.dir, "hello")
	timed(b.dir, "go", "build", "-o", hello, "hello.go")
	s := inTurn(of(b, 51, 11), true, func() usage { return timed(b.dir, b.dpb, "version") }, func() usage { return timed(b.dir, hello) })
	ms := func(x float64) float64 { return x * 1000 }
	b.rows = append(b.rows, row{What: "start of the process: `dpb version`", Unit: "ms", DPB: mapped(s[0].wall(), ms), Peer: "hello world in Go", Beside: mapped(s[1].wall(), ms), Aim: aim{More: 10}})
}
