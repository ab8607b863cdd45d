# Work for perl: strings, hashes, sorting, regular expressions, closures and forked children.
use strict;
use warnings;

my $state = 42;
sub rnd { $state = ($state * 1103515245 + 12345) % 2147483648; return ($state >> 8) % $_[0] }

my (%count, @words);
for my $i (1 .. 60000) {
    my $word = join '', map { chr(97 + rnd(8)) } 1 .. 1 + rnd(20);
    push @words, $word;
    $count{$word}++;
    delete $count{ $words[rnd(scalar @words)] } if $i % 5 == 0;
}
print scalar(keys %count), " keys, first ", (sort keys %count)[0], "\n";

my @sorted = sort { length $a <=> length $b or $a cmp $b } @words;
print "median $sorted[@sorted / 2]\n";

my $text = join ' ', @words;
my $hits = () = $text =~ /\b(a[bc]+)(\w*?)d\b/g;
(my $changed = $text) =~ s/([aeg]+)/<$1>/g;
print "$hits hits, ", length $changed, " bytes\n";

my @closures = map { my $n = $_; sub { return $n * shift } } 1 .. 20000;
my $sum = 0;
$sum += $_->(3) for @closures;
print "sum $sum\n";

my $buffer = '';
$buffer .= 'x' x rnd(3000) for 1 .. 5000;
print "buffer ", length $buffer, "\n";

for my $child (1 .. 4) {
    my $pid = open(my $pipe, '-|') // die "fork: $!";
    if ($pid == 0) {
        my %mine = map { $_ => [ ($_) x 10 ] } @words[ 0 .. 5000 ];
        print "child $child: ", scalar(keys %mine), "\n";
        exit 0;
    }
    print <$pipe>;
    close $pipe;
}
