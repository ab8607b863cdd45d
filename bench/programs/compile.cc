// compile.cc: what the compiler is given when a whole-program run measures it. Templates and the
// standard library make it allocate; what the program does is of no interest.
#include <algorithm>
#include <array>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

using value = std::variant<long, double, std::string, std::vector<std::string>>;

template <int N> struct tower {
    std::map<std::string, std::array<int, N>> levels;
    std::shared_ptr<tower<N - 1>> below;
};
template <> struct tower<0> {
};

static value parse(const std::string &text)
{
    if (std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; }))
        return std::stol(text);
    std::vector<std::string> words;
    std::istringstream in(text);
    for (std::string word; in >> word;)
        words.push_back(word);
    if (words.size() == 1)
        return words.front();
    return words;
}

int main()
{
    std::unordered_map<std::string, std::function<value(const std::string &)>> table{
        { "parse", parse }, { "text", [](const std::string &s) { return value(s); } }
    };
    tower<24> top;
    std::vector<value> values;
    for (std::string line; std::getline(std::cin, line);)
        for (auto &[name, function] : table)
            values.push_back(function(line));
    std::stable_sort(values.begin(), values.end());
    return static_cast<int>(values.size() + top.levels.size());
}
