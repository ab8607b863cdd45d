// Compiled by g++ under the library, then run under it.
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

static std::size_t work(unsigned seed)
{
    std::unordered_map<std::string, std::vector<int>> table;
    std::multiset<std::string> order;
    for (unsigned i = 0; i < 20000; i++) {
        seed = seed * 1103515245 + 12345;
        std::string key = std::to_string(seed % 5000);
        table[key].push_back(static_cast<int>(i));
        order.insert(key + std::string(i % 50, '.'));
        if (i % 3 == 0)
            order.erase(order.begin());
    }
    std::size_t sum = 0;
    for (auto &entry : table)
        sum += entry.second.size() * entry.first.size();
    return sum + order.size();
}

int main()
{
    std::vector<std::thread> threads;
    std::vector<std::size_t> results(4);
    for (unsigned i = 0; i < results.size(); i++)
        threads.emplace_back([i, &results] { results[i] = work(i + 1); });
    for (auto &thread : threads)
        thread.join();
    std::ostringstream out;
    for (std::size_t result : results)
        out << result << ' ';
    std::string text = out.str();
    std::vector<std::shared_ptr<std::function<int(int)>>> functions;
    for (int i = 0; i < 10000; i++)
        functions.push_back(
            std::make_shared<std::function<int(int)>>([i](int n) { return n + i; }));
    long sum = 0;
    for (auto &f : functions)
        sum += (*f)(1);
    std::cout << text << ' ' << sum << '\n';
}
