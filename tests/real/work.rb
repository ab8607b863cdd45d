# Work for ruby: strings, hashes, threads, processes, ractors, compaction. Prints digests.
require 'digest'
require 'json'
require 'set'
require 'zlib'

def words(seed, count)
  random = Random.new(seed)
  Array.new(count) { Array.new(1 + random.rand(25)) { (97 + random.rand(8)).chr }.join }
end

def digest(value)
  Digest::SHA256.hexdigest(value.inspect)[0, 16]
end

def containers(seed)
  table = Hash.new { |hash, key| hash[key] = [] }
  words(seed, 15_000).each_with_index { |word, i| table[word[0, 3]] << [word, i] }
  table.keys.sort.each_slice(2) { |key, _| table.delete(key) }
  digest([table.sort.first(50), Set.new(table.keys).size])
end

def documents(seed)
  data = words(seed, 4000).each_with_index.map { |word, i| { 'id' => i, 'tags' => [word] * (i % 5) } }
  digest(JSON.parse(Zlib::Inflate.inflate(Zlib::Deflate.deflate(JSON.generate(data)))).last(50))
end

def buffers(seed)
  random = Random.new(seed)
  kept = []
  3000.times do
    kept << 'b' * random.rand(100_000)
    kept.delete_at(random.rand(kept.size)) if kept.size > 30
    kept.sample(random: random) << 'more' * random.rand(500)
  end
  digest(kept.map(&:size))
end

puts containers(1), documents(2), buffers(3)
puts Array.new(4) { |i| Thread.new { containers(i) + documents(i) } }.map(&:value)
puts Array.new(3) { |i| Ractor.new(i) { |n| (1..20_000).map { |k| (k * n).to_s }.join.size } }.map(&:take)
3.times do |i|
  reader, writer = IO.pipe
  child = fork do
    writer.puts containers(i + 10)
    exit!(0)
  end
  writer.close
  puts reader.read
  Process.wait(child)
end
symbols = words(5, 3000).map(&:to_sym)
GC.start
GC.compact if GC.respond_to?(:compact)
puts digest(symbols), words(6, 9000).join(' ').scan(/a[bc]+\w*?d/).size
fibers = Array.new(500) { |i| Fiber.new { Fiber.yield('f' * i); i } }
puts fibers.sum { |fiber| fiber.resume.size } + fibers.sum(&:resume)
