/**
 * The perl program of the init container: `perl -e <program> tcp:8080:9901 udp:53:9902`, protocol, port, port it is redirected to.
 * It speaks nf_tables over netlink itself, since no stock image has `nft` or `iptables`, and Debian's perl-base, which every
 * Debian image has, is enough: no module but strict. In one batch: table, its removal, table again (so that a second run replaces
 * the rules of the first), a chain `nat hook prerouting priority dstnat`, and a rule `<protocol> dport <from> redirect to :<to>` each.
 * What the pod sends to itself does not pass prerouting anew: the agent reaches the app on its own port. IPv6 is done where the
 * pod has an IPv6 address. Numbers: linux/netfilter/nf_tables.h, nfnetlink.h; host byte order in headers, network order in values.
 *
 * The kubelet expands `$(NAME)` and takes `$$` for `$` in a command: neither may occur.
 */
export const REDIRECT_PROGRAM = String.raw`use strict;
sub attr { my ($type, $data) = @_; pack('S2 a*', 4 + length $data, $type, $data) . "\0" x (-length($data) & 3) }
sub nest { my ($type, @parts) = @_; attr(0x8000 | $type, join '', @parts) }
sub num { attr($_[0], pack 'N', $_[1]) }
sub text { attr($_[0], "$_[1]\0") }
sub expression { my ($name, @parts) = @_; nest(1, text(1, $name), nest(2, @parts)) }
my $seq = 0;
sub message {
  my ($type, $flags, $family, $id, $body) = @_;
  $seq++;
  pack('L S2 L2 C2 n', 20 + length $body, $type, $flags, $seq, 0, $family, 0, $id) . $body;
}
sub nft { my ($type, $flags, $family, @body) = @_; message(10 << 8 | $type, 5 | $flags, $family, 0, join '', @body) }
sub batch {
  my ($family, @rules) = @_;
  my ($table, $chain) = ('kube-intercept', 'ports');
  my @prerouting = (num(1, 0), num(2, -100 & 0xffffffff));
  my @batch = (
    message(0x10, 1, 0, 10, ''),
    nft(0, 0x400, $family, text(1, $table)),
    nft(2, 0, $family, text(1, $table)),
    nft(0, 0x400, $family, text(1, $table)),
    nft(3, 0x400, $family, text(1, $table), text(3, $chain), nest(4, @prerouting), num(5, 1), text(7, 'nat')),
  );
  for (@rules) {
    my ($protocol, $from, $to) = split /:/;
    push @batch, nft(6, 0xc00, $family, text(1, $table), text(2, $chain), nest(4,
      expression('meta', num(1, 1), num(2, 16)),
      expression('cmp', num(1, 1), num(2, 0), nest(3, attr(1, pack 'C', $protocol eq 'udp' ? 17 : 6))),
      expression('payload', num(1, 1), num(2, 2), num(3, 2), num(4, 2)),
      expression('cmp', num(1, 1), num(2, 0), nest(3, attr(1, pack 'n', $from))),
      expression('immediate', num(1, 1), nest(2, attr(1, pack 'n', $to))),
      expression('redir', num(1, 1), num(3, 2)),
    ));
  }
  join '', @batch, message(0x11, 1, 0, 10, '');
}
sub apply {
  my ($family, @rules) = @_;
  $seq = 0;
  my $batch = batch($family, @rules);
  my $last = $seq - 1;
  socket my $socket, 16, 3, 12 or die "cannot open a netfilter socket: $!\n";
  send $socket, $batch, 0, pack('S2 L2', 16, 0, 0, 0) or die "cannot ask nf_tables: $!\n";
  for (my $answered = 0; $answered < $last;) {
    defined recv $socket, my $answer, 65536, 0 or die "cannot hear nf_tables: $!\n";
    while (length $answer >= 20) {
      my ($length, $type, $flags, $number, $port, $error) = unpack 'L S2 L2 l', $answer;
      if ($type == 2 && $error) { $! = -$error; die "nf_tables refuses to redirect @rules (message $number): $!\n" }
      $answered = $number if $number > $answered;
      substr $answer, 0, ($length + 3) & ~3, '';
    }
  }
}
apply(2, @ARGV);
my $known = open my $addresses, '<', '/proc/net/if_inet6';
apply(10, @ARGV) if $known && grep { /^\w+ \w+ \w+ 00 / } <$addresses>;
print "redirected @ARGV\n";
`;
