// Work for java: threads that make garbage, direct buffers, compression, sorting, a class at run time.
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Work {
    static long garbage(int seed) {
        Random random = new Random(seed);
        Map<String, List<Integer>> table = new HashMap<>();
        for (int i = 0; i < 150000; i++) {
            table.computeIfAbsent("key" + random.nextInt(5000), k -> new ArrayList<>()).add(i);
            if (i % 10000 == 0)
                table.clear();
        }
        CRC32 sum = new CRC32();
        sum.update(new TreeMap<>(table).toString().getBytes());
        return sum.getValue();
    }

    static long packed(int seed) throws Exception {
        CRC32 sum = new CRC32();
        Random random = new Random(seed);
        for (int round = 0; round < 20; round++) {
            byte[] data = new byte[1 + random.nextInt(200000)];
            for (int i = 0; i < data.length; i++)
                data[i] = (byte) (i % (1 + round) + random.nextInt(2));
            Deflater deflater = new Deflater(1 + round % 9);
            deflater.setInput(data);
            deflater.finish();
            byte[] out = new byte[data.length + 1000];
            int length = deflater.deflate(out);
            deflater.end();
            Inflater inflater = new Inflater();
            inflater.setInput(out, 0, length);
            byte[] back = new byte[data.length];
            inflater.inflate(back);
            inflater.end();
            sum.update(back);
        }
        return sum.getValue();
    }

    static long direct(int seed) {
        Random random = new Random(seed);
        List<ByteBuffer> kept = new ArrayList<>();
        CRC32 sum = new CRC32();
        for (int i = 0; i < 600; i++) {
            ByteBuffer buffer = ByteBuffer.allocateDirect(1 + random.nextInt(100000));
            buffer.put(0, (byte) i).put(buffer.capacity() - 1, (byte) ~i);
            kept.add(buffer);
            if (kept.size() > 30)
                sum.update(kept.remove(random.nextInt(kept.size())));
        }
        return sum.getValue();
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService threads = Executors.newFixedThreadPool(4);
        List<Future<String>> results = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            int seed = i;
            results.add(threads.submit(
                () -> garbage(seed) + " " + packed(seed) + " " + direct(seed)));
        }
        for (Future<String> result : results)
            System.out.println(result.get());
        threads.shutdown();
        System.gc();
        System.out.println(IntStream.range(0, 300000).parallel().mapToObj(Integer::toString)
            .sorted().skip(1000).findFirst().get());
        for (int i = 0; i < 200; i++) {
            Thread thread = new Thread(() -> garbage(1 << 30), "short");
            if (i % 50 == 0) {
                thread.start();
                thread.join();
            }
        }
        try {
            List<long[]> all = new ArrayList<>();
            for (;;)
                all.add(new long[1 << 20]);
        } catch (OutOfMemoryError error) {
            System.out.println("out of memory, and on");
        }
    }
}
