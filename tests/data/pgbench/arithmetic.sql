\set a 2 * (3 + 4) % 5 - -1
\set b case when :a > 3 then sqrt(16.0) else ln(1.0) end
\set c greatest(:a, 7, 3) + least(1, 2)
\set d int(:b) << 2 | 1
\set e (:a <> :c) and not (:d isnull)
\set f power(2, 10) / 4
\set g mod(:c, 3) + debug(:d) * 0
SELECT :a::int, :b::float8, :c::int, :d::int, :f::float8, :g::int;
