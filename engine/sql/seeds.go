package sql

// Seeds are statements that fuzzers of this package and of the engine begin with: each has something that a lexer can get wrong.
var Seeds = []string{"SELECT 1", "select a.b, c::int from t -- end", "select 'a'\n'b'", "select 'a' -- c\n 'b'", "select e'a\\'b', $$x$$, $t$ $t$, $day",
	"select 1_000, 1.5e-3, .5, 2..3", "select a<-1, b@-1, c*/**/d", "select\u00a0é\u3000x\ufeff", "select [x for x in l], {'a':1}, l[1:-1], #1, ?",
	"select * exclude (a) from t where x !~~* 'y' and z ** 2 // 3 % 4 <> 1", "with a as (select 1) from a",
	"select lambda x: x + 1, x -> x, COLUMNS('a.*'), a.b.c(d), interval 1 day, date '2017-06-15', x'ab', b'01', n'c', \"a\"\"b\""}
